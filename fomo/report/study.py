"""A study: what many methods reached at the same budget, as a table and on the KA–ZS plane."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fomo.errors import FomoError
from fomo.report.families import FAMILIES, family
from fomo.report.figures import figures, png
from fomo.report.leaderboard import BoardEntry, leaderboard
from fomo.results.config_file import read_config
from fomo.results.ledger import read_ledger
from fomo.system.writing import write_bytes, write_text


def write_study(folders: Sequence[Path], base: Path) -> Path:
    """Write ``base.md``, a table ranked by GM, and ``base.png``, which it shows; give the place of the table.

    Raises:
        FomoError: a run is not fit for a leaderboard, they are of several tracks and cannot be compared, or the figure
            cannot be drawn; the table is written then.
    """
    board = leaderboard(folders)
    if board.refused:
        raise FomoError(f"the study lacks a run. {'; '.join(dict.fromkeys(board.refused.values()))}")
    tracks = sorted({entry.track for entry in board.entries})
    if len(tracks) > 1:
        raise FomoError(f"the runs of a study must be of one track, these are of {len(tracks)}: {'; '.join(tracks)}.")
    base.parent.mkdir(parents=True, exist_ok=True)
    write_text(base.with_suffix(".md"), page(board.entries, base.name))
    write_bytes(base.with_suffix(".png"), plane(board.entries))
    return base.with_suffix(".md")


def page(entries: Sequence[BoardEntry], name: str) -> str:
    """Figure and table in Markdown, best first; steps are those that the first run took."""
    lines = ["| rank | method | steps | KA | ZS | GM |", "|--:|---|--:|--:|--:|--:|"]
    for entry in entries:
        cells = (
            str(entry.rank),
            entry.label.replace("|", "\\|"),
            f"{read_ledger(Path(entry.folders[0])).charged.steps:,}",
            *map(" ± ".join, _points(entry)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    seeds = ", ".join(map(str, entries[0].seeds))
    about = f"{entries[0].track}. Mean ± sample standard deviation over seeds {seeds}, in percent; GM = √(KA·ZS)."
    return "\n".join([f"![KA–ZS plane]({name}.png)", "", about, "", *lines, ""])


def _points(entry: BoardEntry) -> list[list[str]]:
    pairs = ((entry.ka, entry.ka_deviation), (entry.zs, entry.zs_deviation), (entry.gm, entry.gm_deviation))
    return [[f"{value:.1f}" for value in pair if value is not None] for pair in pairs]


def plane(entries: Sequence[BoardEntry]) -> bytes:
    """A PNG: a named point with error bars (one deviation) for every method, coloured by family."""
    with figures() as Figure:
        drawing = Figure(figsize=(10, 6.5), layout="constrained")
        axes: Any = drawing.subplots()
        for entry in entries:
            _draw_entry(axes, entry)
        axes.margins(x=0.1)
        _draw_gm(axes)
        axes.set(xlabel="KA [%]: what was learned", ylabel="ZS [%]: what was kept")
        axes.set_title("KA–ZS plane: up and right is better; grey: equal GM", fontsize="medium")
        once = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(once.values(), once.keys(), loc="lower left", fontsize="small")
        return png(drawing)


def _draw_entry(axes: Any, entry: BoardEntry) -> None:
    own = FAMILIES[family(read_config(Path(entry.folders[0])))]
    at = (entry.ka, entry.zs)
    look = {"fmt": "o", "ms": 4, "lw": 1, "capsize": 2, "color": own.color, "label": own.name}
    axes.errorbar(*at, xerr=entry.ka_deviation, yerr=entry.zs_deviation, **look)
    offset = (4, -11 if entry.rank % 2 else 4)  # neighbours in rank may be so on the plane
    axes.annotate(entry.label, at, xytext=offset, textcoords="offset points", fontsize="small", color=own.color)


def _draw_gm(axes: Any) -> None:
    """Lines of equal geometric mean over what the points take up."""
    limits = (axes.get_xlim(), axes.get_ylim())
    ka, zs = np.meshgrid(*(np.linspace(max(low, 0), high, 200) for low, high in limits))
    lines = axes.contour(ka, zs, np.sqrt(ka * zs), levels=range(10, 100, 10), colors="0.8", linewidths=1, zorder=0)
    axes.clabel(lines, fontsize="small")
    axes.set(xlim=limits[0], ylim=limits[1])
