"""The charts of a page: paths of KA and ZS, the KA–ZS plane, losses and learning rates of its runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from markupsafe import Markup

from fomo.report.charts import Line, Point, chart, legend
from fomo.report.view import RunView
from fomo.report.within import Placed, earlier
from fomo.results.scores import Scores

KA = "KA: knowledge accumulation"
ZS = "ZS: zero-shot retention"
GM = "GM = √(KA · ZS)"
EARLIER = "Accuracy on the concepts of earlier tasks, within each update"


class Drawing(NamedTuple):
    """A chart, what stands above it, and the names of its lines."""

    title: str
    svg: Markup
    legend: Markup


class Marked(NamedTuple):
    """Points of a line, and those of them that have a mark."""

    points: Sequence[Point]
    marked: Sequence[Point] | None = None


def path_title(scores: Scores) -> str:
    """What the path is of: its end is not quite the result where it is on a subset."""
    return "per update, on a part of the test images" if scores.in_full else "per update"


def paths(views: Sequence[RunView]) -> list[Drawing]:
    """KA and ZS per update, of one run in one chart, and the plane of both; evaluations within updates are on the way.

    Where there are some, what they tell of earlier tasks is drawn too.
    """
    titles = {path_title(view.scores) for view in views}
    when = titles.pop() if len(titles) == 1 else "per update"
    has_within = any(view.scores.within for view in views)
    when += ", and within updates" if has_within else ""
    if len(views) == 1:
        drawn = [_path(views[0], when)]
    else:
        drawn = [_of_point(views, title, name, when) for title, name in ((KA, "ka"), (ZS, "zs"))]
    return [*drawn, _plane(views), *([_on_earlier(views)] if has_within else [])]


def _over_updates(view: RunView, name: str) -> Marked:
    return _marked(view.evaluations, lambda each: (each.at, getattr(view.scores.point(each.of), name)))


def _marked(evaluations: Sequence[Placed], point: Callable[[Placed], Point]) -> Marked:
    """A point for every evaluation, with a mark where an update ends."""
    return Marked(list(map(point, evaluations)), [point(each) for each in evaluations if each.ends_update])


def _path(view: RunView, when: str) -> Drawing:
    lines = []
    for number, (title, name) in enumerate(((KA, "ka"), (ZS, "zs"), (GM, "gm"))):
        points, marked = _over_updates(view, name)
        lines.append(Line(title, points, number, dashed=name == "gm", marked=marked))
    return _drawn(f"KA, ZS and GM {when}", lines, "update", "accuracy [%]", whole_x=True)


def _of_point(views: Sequence[RunView], title: str, name: str, when: str) -> Drawing:
    return _of_runs(f"{title} {when}", views, lambda view: _over_updates(view, name), "accuracy [%]", whole_x=True)


def _plane(views: Sequence[RunView]) -> Drawing:
    lines = list(_lines(views, lambda view: _in_plane(view, is_single=len(views) == 1)))
    if len(views) == 1:
        end = f"update {views[0].num_updates}" if views[0].num_updates else ""
        lines = [replace(lines[0], start="base", end=end)]
    title = "KA–ZS plane: up and right is better"
    return _drawn(title, lines, "KA [%]: what was learned", "ZS [%]: what was kept")


def _in_plane(view: RunView, is_single: bool) -> Marked:
    """The path by KA and ZS; of several runs that of updates alone, else lines lie over lines."""

    def point(each: Placed) -> Point:
        found = view.scores.point(each.of)
        return found.ka, found.zs

    return _marked([each for each in view.evaluations if is_single or each.ends_update], point)


def _on_earlier(views: Sequence[RunView]) -> Drawing:
    def points(view: RunView) -> Marked:
        found = earlier(view.evaluations) if view.scores.within else []
        return Marked(found, [point for point in found if point[0].is_integer()])

    return _of_runs(EARLIER, views, points, "accuracy [%]", whole_x=True)


def curves(views: Sequence[RunView]) -> list[Drawing]:
    """Loss and learning rate over the stream; none where no run has made a step."""
    if not any(view.history.steps for view in views):
        return []
    return [
        _of_runs("Loss, mean of stretches of steps", views, lambda view: Marked(view.losses), "loss"),
        _of_runs("Learning rate", views, lambda view: Marked(view.rates), "learning rate"),
    ]


def _of_runs(
    title: str, views: Sequence[RunView], of: Callable[[RunView], Marked], y: str, whole_x: bool = False
) -> Drawing:
    return _drawn(title, list(_lines(views, of)), "update", y, whole_x)


def _lines(views: Sequence[RunView], of: Callable[[RunView], Marked]) -> Iterator[Line]:
    """A line a run, its end numbered where there are several."""
    for view in views:
        several = len(views) > 1
        name = f"{view.number + 1} · {view.name}" if several else view.name
        points, marked = of(view)
        yield Line(name, points, view.number, end=str(view.number + 1) if several else "", marked=marked)


def _drawn(title: str, lines: Sequence[Line], x: str, y: str, whole_x: bool = False) -> Drawing:
    shown = [line for line in lines if line.points]
    return Drawing(title, chart(shown, title, x, y, whole_x), legend(shown) if len(shown) > 1 else Markup(""))
