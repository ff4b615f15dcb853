"""The leaderboard: finished runs, from folders and submissions, grouped over seeds, ranked by GM, with what their seeds
can tell."""

import math
import statistics
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.report.entries import MAIN, Board, BoardEntry, BoardRun, Key
from fomo.report.rankable import runs_in
from fomo.results.config_file import ranked
from fomo.results.folders import real
from fomo.results.measures import GuestFailed, Metric, chosen, measured
from fomo.results.scores import Point, Scores
from fomo.results.statistics import Interval, compare, interval
from fomo.system.imports import uncollected


def leaderboard(places: Sequence[Path], metrics: Sequence[str] = (), split: str = "test") -> Board:
    """Read, check and rank run folders and submissions. What may not be ranked is refused with the reason.

    ``metrics`` names what the entries are to have beside :data:`MAIN`. On another ``split`` than the test split
    settings are compared, and no results.
    """
    wanted = chosen([*MAIN, *metrics])
    groups: dict[Key, list[BoardRun]] = {}
    refused: dict[str, str] = {}
    notes: list[str] = []
    with uncollected():
        for place in {real(each): each for each in sorted(places, reverse=True)}.values():
            for run in runs_in(place, split, refused):
                groups.setdefault(run.key, []).append(run)
    counted = {key: _one_of_each_seed(runs, refused, notes) for key, runs in groups.items()}
    made = {key: _entry(key[0], runs, wanted, notes) for key, runs in counted.items() if runs}
    entries = _told_apart(made, counted)
    best_first = sorted(entries, key=lambda entry: (entry.track, -entry.gm, entry.label, entry.folders))
    by_name = {run.name: run for runs in counted.values() for run in runs}
    ranked_entries = _compared(list(_with_ranks(best_first)), by_name)
    return Board(tuple(ranked_entries), dict(sorted(refused.items())), tuple(sorted(set(notes))), by_name)


def _one_of_each_seed(runs: Sequence[BoardRun], refused: dict[str, str], notes: list[str]) -> list[BoardRun]:
    """A run for each seed: of equal ones the first by folder, of ones that differ none; both are said."""
    by_seed: dict[int, list[BoardRun]] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.name)):
        by_seed.setdefault(run.seed, []).append(run)
    for seed, same in by_seed.items():
        names = " and ".join(run.name for run in same)
        if any(_differ(run.scores, same[0].scores) for run in same):
            gms = " and ".join(f"{run.scores.final.gm:.9g}" for run in same)
            reason = f"seed {seed} more than once, with other scores (GM {gms}): {names}. None counts: keep one."
            refused |= {run.name: reason for run in same}
        elif len(same) > 1:
            notes.append(f"seed {seed} more than once, with equal scores: {names}. The first counts, once.")
    return [same[0] for same in by_seed.values() if same[0].name not in refused]


def _differ(one: Scores, other: Scores) -> bool:
    """Whether two results have other scores where both were evaluated, be it after every update or after some."""
    here, there = ({each.task: (each.scores, each.tasks) for each in of.evaluations} for of in (one, other))
    ends = [[(each.scores, each.tasks) for each in of.in_full] for of in (one, other)]
    return ends[0] != ends[1] or any(here[task] != there[task] for task in here.keys() & there.keys())


def _with_ranks(entries: Sequence[BoardEntry]) -> Iterator[BoardEntry]:
    """Entries, best first, with their rank in their track: one more than how many are better, so equals share it."""
    for _, of_track in groupby(entries, key=lambda entry: entry.track):
        rank = 0
        before = math.inf
        front = _front(same := list(of_track))
        for number, entry in enumerate(same, start=1):
            rank = number if entry.gm < before else rank
            before = entry.gm
            yield replace(entry, rank=rank, on_front=(entry.ka, entry.zs) in front)


def _front(entries: Sequence[BoardEntry]) -> set[tuple[float, float]]:
    """The pairs of KA and ZS to which no other is equal in one and better in the other, or better in both."""
    front: set[tuple[float, float]] = set()
    best = -math.inf
    for ka, zs in sorted({(entry.ka, entry.zs) for entry in entries}, reverse=True):
        if zs > best:
            front.add((ka, zs))
            best = zs
    return front


def _compared(entries: Sequence[BoardEntry], runs: Mapping[str, BoardRun]) -> Iterator[BoardEntry]:
    """Entries, each with what the seeds that it shares with the next one of its track tell of the two."""
    for entry, after in zip_longest(entries, entries[1:]):
        if after is None or after.track != entry.track:
            yield entry
        else:
            yield replace(entry, against_next=compare(*(_gm_by_seed(each, runs) for each in (entry, after))))


def _gm_by_seed(entry: BoardEntry, runs: Mapping[str, BoardRun]) -> dict[Hashable, float]:
    """The GM of each run by seed and stream: runs of one seed on different streams are no pair."""
    of_entry = [runs[folder] for folder in entry.folders]
    return {(run.seed, run.scores.stream.sha256): run.scores.final.gm for run in of_entry}


def _told_apart(entries: Mapping[Key, BoardEntry], runs: Mapping[Key, Sequence[BoardRun]]) -> Iterator[BoardEntry]:
    """The entries; to a label that others of the track have too, what tells them apart is added: settings, or code."""
    settings = {key: _flat(ranked(runs[key][0].values)) for key in entries}
    by_label: dict[tuple[str, str], list[Key]] = {}
    for key, entry in entries.items():
        by_label.setdefault((entry.track, entry.label), []).append(key)
    for key, entry in entries.items():
        alike = by_label[entry.track, entry.label]
        added = [f"{name}={settings[key].get(name)}" for name in _differing([settings[other] for other in alike])]
        added += [f"code {key[2] or 'unknown'}"] if len({code for _, _, code in alike}) > 1 else []
        yield replace(entry, label=f"{entry.label} ({', '.join(added)})") if added else entry


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys, apart from the seed, that do not have one value in all."""
    names = {name for each in settings for name in each} - {"seed"}
    return sorted(name for name in names if any(each.get(name) != settings[0].get(name) for each in settings))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _entry(name: str, runs: Sequence[BoardRun], metrics: Sequence[Metric], notes: list[str]) -> BoardEntry:
    points: list[Point] = [run.scores.final for run in runs]
    ka, ka_deviation = _mean_and_deviation([point.ka for point in points])
    zs, zs_deviation = _mean_and_deviation([point.zs for point in points])
    gm, gm_deviation = _mean_and_deviation([point.gm for point in points])
    return BoardEntry(
        label=runs[0].values.get("label", ""),
        track=name,
        rank=0,
        seeds=tuple(run.seed for run in runs),
        ka=ka,
        zs=zs,
        gm=gm,
        ka_deviation=ka_deviation,
        zs_deviation=zs_deviation,
        gm_deviation=gm_deviation,
        folders=tuple(run.name for run in runs),
        caveats=tuple(dict.fromkeys(caveat for run in runs for caveat in run.scores.caveats)),
        metrics=_intervals([measured(run.scores, metrics) for run in runs], notes),
    )


def _intervals(values: Sequence[Mapping[str, float | FomoError]], notes: list[str]) -> dict[str, Interval]:
    """The interval of every metric that all runs have a number of; what a guest's metric failed by is noted."""
    notes += [str(each) for of_run in values for each in of_run.values() if isinstance(each, GuestFailed)]
    found = {}
    for name in values[0]:
        there = [value for of_run in values if not isinstance(value := of_run[name], FomoError)]
        if len(there) == len(values):
            found[name] = interval(there)
    return found


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
