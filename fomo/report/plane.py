"""The KA–ZS plane of a study: a mark with its 95 % intervals for every method, a panel for every track."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import fill
from typing import Any

import numpy as np

from fomo.report.board import in_words
from fomo.report.entries import Board, BoardEntry, BoardRun
from fomo.report.families import FAMILIES, family
from fomo.report.figures import figures, png
from fomo.report.labels import shared_settings, without

MARKS = "osD^vP*X<>hd"
"""Marks within a family, one after the other."""


def plane(board: Board) -> bytes:
    """A PNG: entries by KA and ZS, coloured by family, named beside the panel in the order of their ranks."""
    tracks = [list(of_track) for _, of_track in groupby(board.entries, key=lambda entry: entry.track)]
    height = max(5.0, 1.5 + 0.22 * max(map(len, tracks)))
    with figures() as Figure:
        drawing = Figure(figsize=(9.5, height * len(tracks)), layout="constrained")
        for axes, of_track in zip(drawing.subplots(len(tracks), squeeze=False)[:, 0], tracks, strict=True):
            _draw_panel(axes, of_track, board.runs)
        return png(drawing)


def _draw_panel(axes: Any, entries: Sequence[BoardEntry], runs: Mapping[str, BoardRun]) -> None:
    seen: dict[str, int] = {}
    settings = shared_settings([entry.label for entry in entries])
    marks = []
    for entry in entries:
        group = family(runs[entry.folders[0]].values)
        seen[group] = seen.get(group, -1) + 1
        label = f"{entry.rank}  {without(entry.label, settings)}"
        marks += _draw_entry(axes, entry, label, FAMILIES[group].color, MARKS[seen[group] % len(MARKS)])
    axes.margins(0.08)
    _draw_gm(axes)
    axes.set(xlabel="KA [%]: what was learned", ylabel="ZS [%]: what was kept")
    title = f"{fill(in_words(entries[0].track)[0], 90)}\nup and right is better; grey: equal GM"
    axes.set_title(title, loc="left", fontsize="small")  # from the panel's edge to above what names the marks
    colours = [axes.plot([], [], "s", color=FAMILIES[group].color, label=FAMILIES[group].name)[0] for group in seen]
    axes.add_artist(axes.legend(handles=colours, loc="lower left", fontsize="small"))
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "frameon": False}
    axes.legend(handles=marks, title="by GM", fontsize="small", **beside)


def _draw_entry(axes: Any, entry: BoardEntry, label: str, color: str, mark: str) -> list[Any]:
    """A mark, crossed by its intervals where there are any, with its rank beside it; what the legend shows.

    Args:
        axes: Where to draw.
        entry: What is shown.
        label: What the legend calls it.
        color: Of the mark and the intervals.
        mark: Its form, a sign of matplotlib's.
    """
    spread = {axis: entry.metrics[name].half_width for axis, name in (("xerr", "ka"), ("yerr", "zs"))}
    look = {"fmt": mark, "ms": 6, "lw": 1, "capsize": 2, "color": color, "label": label}
    axes.annotate(str(entry.rank), (entry.ka, entry.zs), xytext=(5, 5), textcoords="offset points", fontsize="x-small")
    return [axes.errorbar(entry.ka, entry.zs, **spread, **look)]


def _draw_gm(axes: Any) -> None:
    """Lines of equal geometric mean over what the points take up."""
    limits = (axes.get_xlim(), axes.get_ylim())
    ka, zs = np.meshgrid(*(np.linspace(max(low, 0), high, 200) for low, high in limits))
    lines = axes.contour(ka, zs, np.sqrt(ka * zs), levels=range(2, 100, 2), colors="0.85", linewidths=1, zorder=0)
    axes.clabel(lines, fontsize="x-small")
    axes.set(xlim=limits[0], ylim=limits[1])
