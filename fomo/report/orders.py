"""One method over several orders of the same concepts: how far apart they are on the way, and at the end."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from fomo.report.board import cell, difference_cell, differences, markdown_table
from fomo.report.entries import MAIN, Board, BoardRun
from fomo.report.tracks import CONTENTS
from fomo.results.scores import Point
from fomo.results.statistics import compare, interval

ORDER = re.compile(r"(?:ordering|setting) ")
"""How parts of a track begin in which two orders of one stream differ."""
REFERENCE = "random"
ABOUT = (
    "The same method and concepts in {num} orders, seeds {seeds}. Apart: the largest minus the smallest of the orders, "
    "seed by seed, ± half of the 95 % interval over seeds; on the way: mean of all updates but the last. Orders that "
    "do not differ are apart too, by what training and the choice of test images vary."
)


class Way(NamedTuple):
    """What a method went through in one order, by seed: KA and ZS after each update, and those of the result.

    On the way a part of the test images may be scored, after the last update too; the result is of all.
    """

    order: str
    points: Mapping[int, Sequence[Point]]
    results: Mapping[Hashable, Point]


def by_order(board: Board) -> Iterator[str]:
    """A section in Markdown of every method that went through two orders or more on two common seeds."""
    for label, ways in _methods(board):
        seeds = sorted(set.intersection(*(set(way.points) for way in ways)))
        if len(ways) > 1 and len(seeds) > 1 and _are_parallel(ways, seeds):
            yield from (f"## Orders: {label}", "", ABOUT.format(num=len(ways), seeds=", ".join(map(str, seeds))), "")
            for table in (_apart(ways, seeds), _paths(ways, seeds), _ends(ways)):
                yield from (*table, "")


def _methods(board: Board) -> list[tuple[str, list[Way]]]:
    """The label of each method and its ways through what differs in the order alone."""
    found: dict[tuple[str, ...], list[Way]] = {}
    for entry in board.entries:
        runs = [board.runs[name] for name in entry.folders]
        rest = [part for part in entry.track.split(", ") if not ORDER.match(part)] + _setting(runs[0])
        points = {run.seed: run.scores.points[1:] for run in runs}
        results: dict[Hashable, Point] = {run.seed: run.scores.final for run in runs}
        found.setdefault((entry.label, *rest), []).append(Way(_order(runs[0]), points, results))
    return [(label, sorted(ways, key=lambda way: way.order)) for (label, *_), ways in found.items()]


def _setting(run: BoardRun) -> list[str]:
    """What else the configuration says of the stream's order and the use of its data."""
    stream = run.values.get("stream", {})
    return sorted(f"{key}={value}" for key, value in stream.items() if key not in (*CONTENTS, "ordering"))


def _order(run: BoardRun) -> str:
    """The order's name, and that of the file that it is of."""
    stream = run.values.get("stream", {})
    file = str(stream.get("path") or "").replace("\\", "/").rsplit("/", 1)[-1]
    return " of ".join(filter(None, [str(stream.get("ordering", "own")), file.removesuffix(".json")]))


def _are_parallel(ways: Sequence[Way], seeds: Sequence[int]) -> bool:
    """Whether all were scored after the same updates, two or more."""
    scored = {tuple(point.task for point in way.points[seed]) for way in ways for seed in seeds}
    return len(scored) == 1 and len(scored.pop()) > 1


def _apart(ways: Sequence[Way], seeds: Sequence[int]) -> Iterator[str]:
    rows = []
    for metric in MAIN:
        spread = {seed: _spread([way.points[seed] for way in ways], metric) for seed in seeds}
        on_the_way: dict[Hashable, float] = {seed: fmean(of[:-1]) for seed, of in spread.items()}
        at_the_end: dict[Hashable, float] = {seed: of[-1] for seed, of in spread.items()}
        found = (cell(interval(list(each.values()))) for each in (on_the_way, at_the_end))
        rows.append((metric.upper(), *found, difference_cell(compare(on_the_way, at_the_end))))
    return markdown_table(("apart", "on the way", "at the end", "difference"), rows)


def _spread(paths: Sequence[Sequence[Point]], metric: str) -> list[float]:
    """The largest minus the smallest of a metric over paths, after each update."""
    values = [[getattr(point, metric) for point in at] for at in zip(*paths, strict=True)]
    return [max(each) - min(each) for each in values]


def _paths(ways: Sequence[Way], seeds: Sequence[int]) -> Iterator[str]:
    """KA after every update, means over seeds."""
    tasks = [f"KA after {point.task}" for point in ways[0].points[seeds[0]]]
    rows = ((way.order, *(f"{fmean(p.ka for p in at):.1f}" for at in _of_seeds(way, seeds))) for way in ways)
    return markdown_table(("order", *tasks), rows)


def _of_seeds(way: Way, seeds: Sequence[int]) -> Iterator[tuple[Point, ...]]:
    return zip(*(way.points[seed] for seed in seeds), strict=True)


def _ends(ways: Sequence[Way]) -> Iterator[str]:
    """The results of all orders minus those of one."""
    base = next((way for way in ways if way.order == REFERENCE), ways[0])
    rows = ((way.order, *differences(way.results, base.results)) for way in ways if way is not base)
    yield from (f"Results on all test images, minus those of `{base.order}`, seed by seed:", "")
    yield from markdown_table(("order", "ΔKA", "ΔZS", "ΔGM"), rows)
