"""The charts of a page: paths of KA and ZS, the KA–ZS plane, losses and learning rates of its runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from markupsafe import Markup

from fomo.report.charts import Line, Point, chart, legend
from fomo.report.view import RunView
from fomo.results.scores import Scores

KA = "KA: knowledge accumulation"
ZS = "ZS: zero-shot retention"


class Drawing(NamedTuple):
    """A chart, what stands above it, and the names of its lines."""

    title: str
    svg: Markup
    legend: Markup


def path_title(scores: Scores) -> str:
    """What the path is of: its end is not quite the result where it is on a subset."""
    return "per update, on a part of the test images" if scores.in_full else "per update"


def paths(views: Sequence[RunView]) -> list[Drawing]:
    """KA and ZS per update, of one run in one chart, and the plane of both."""
    titles = {path_title(view.scores) for view in views}
    when = titles.pop() if len(titles) == 1 else "per update"
    if len(views) == 1:
        return [_path(views[0], when), _plane(views)]
    ka = _of_runs(f"{KA} {when}", views, lambda view: _over_updates(view, "ka"), "accuracy [%]", whole_x=True)
    zs = _of_runs(f"{ZS} {when}", views, lambda view: _over_updates(view, "zs"), "accuracy [%]", whole_x=True)
    return [ka, zs, _plane(views)]


def _over_updates(view: RunView, name: str) -> list[Point]:
    return [(point.task, getattr(point, name)) for point in view.points]


def _path(view: RunView, when: str) -> Drawing:
    lines = [
        Line(KA, _over_updates(view, "ka"), 0),
        Line(ZS, _over_updates(view, "zs"), 1),
        Line("GM = √(KA · ZS)", _over_updates(view, "gm"), 2, dashed=True),
    ]
    return _drawn(f"KA, ZS and GM {when}", lines, "update", "accuracy [%]", whole_x=True)


def _plane(views: Sequence[RunView]) -> Drawing:
    lines = list(_lines(views, lambda view: [(point.ka, point.zs) for point in view.points]))
    if len(views) == 1:
        end = f"update {views[0].num_updates}" if views[0].num_updates else ""
        lines = [replace(lines[0], start="base", end=end)]
    title = "KA–ZS plane: up and right is better"
    return _drawn(title, lines, "KA [%]: what was learned", "ZS [%]: what was kept")


def curves(views: Sequence[RunView]) -> list[Drawing]:
    """Loss and learning rate over the stream; none where no run has made a step."""
    if not any(view.history.steps for view in views):
        return []
    return [
        _of_runs("Loss, mean of stretches of steps", views, lambda view: view.losses, "loss"),
        _of_runs("Learning rate", views, lambda view: view.rates, "learning rate"),
    ]


def _of_runs(
    title: str, views: Sequence[RunView], of: Callable[[RunView], list[Point]], y: str, whole_x: bool = False
) -> Drawing:
    return _drawn(title, list(_lines(views, of)), "update", y, whole_x)


def _lines(views: Sequence[RunView], of: Callable[[RunView], list[Point]]) -> Iterator[Line]:
    """A line a run, its end numbered where there are several."""
    for view in views:
        several = len(views) > 1
        name = f"{view.number + 1} · {view.name}" if several else view.name
        yield Line(name, of(view), view.number, end=str(view.number + 1) if several else "")


def _drawn(title: str, lines: Sequence[Line], x: str, y: str, whole_x: bool = False) -> Drawing:
    shown = [line for line in lines if line.points]
    return Drawing(title, chart(shown, title, x, y, whole_x), legend(shown) if len(shown) > 1 else Markup(""))
