"""Figures of a run: KA and ZS per update, and the KA–ZS plane."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fomo.errors import FomoError
from fomo.results.scores import Point, Scores
from fomo.system.text import first_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(scores: Scores) -> str:
    """KA and ZS per task beside the KA–ZS plane, as the base64 text of a PNG."""
    with figures() as Figure:
        drawing = Figure(figsize=(10, 4))  # a layout that looks for its margins takes as long as the drawing itself
        drawing.subplots_adjust(left=0.06, right=0.98, bottom=0.12, top=0.92, wspace=0.17)
        left, right = drawing.subplots(1, 2)
        _plot_path(left, scores.points, path_title(scores))
        _plot_plane(right, scores.points)
        return base64.b64encode(png(drawing)).decode()


@contextmanager
def figures() -> Iterator[type["Figure"]]:
    """matplotlib's class for figures, to be drawn during the block, in its own style whatever the machine's is.

    Raises:
        FomoError: it cannot be imported, or cannot draw.
    """
    try:
        from matplotlib import rc_context, rcdefaults  # takes a while to import
        from matplotlib.figure import Figure

        with rc_context():
            rcdefaults()
            yield Figure
    except Exception as error:  # whatever fonts, folders and settings make of it
        what = f"{type(error).__name__}: {first_line(error)}"
        raise FomoError(f"matplotlib cannot draw here ({what}). Mend that, or draw on another machine.") from error


def png(drawing: "Figure") -> bytes:
    """A drawing as PNG bytes."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def path_title(scores: Scores) -> str:
    """What the path is of: its end is not quite the result where it is on a subset."""
    return "per update, on a part of the test images" if scores.in_full else "per update"


def _plot_path(axes: Any, points: list[Point], title: str) -> None:
    tasks = [point.task for point in points]
    axes.plot(tasks, [p.ka for p in points], "o-", color="#c2410c", label="KA: knowledge accumulation")
    axes.plot(tasks, [p.zs for p in points], "s-", color="#1d4ed8", label="ZS: zero-shot retention")
    axes.plot(tasks, [p.gm for p in points], "--", color="gray", label="GM")
    axes.set(xlabel="update", ylabel="accuracy [%]", ylim=(0, 100), xticks=tasks, title=title)
    axes.grid(alpha=0.3)
    axes.legend()


def _plot_plane(axes: Any, points: list[Point]) -> None:
    ka = [p.ka for p in points]
    zs = [p.zs for p in points]
    axes.plot(ka, zs, "-", color="gray", zorder=1)
    axes.scatter(ka, zs, c=[p.task for p in points], cmap="viridis", zorder=2)
    for point in (points[0], points[-1]):
        axes.annotate(f"update {point.task}", (point.ka, point.zs), xytext=(6, 6), textcoords="offset points")
    axes.set(xlabel="KA [%]: what was learned", ylabel="ZS [%]: what was kept", xlim=(0, 100), ylim=(0, 100))
    axes.set_title("KA–ZS plane: up and right is better")
    axes.grid(alpha=0.3)
