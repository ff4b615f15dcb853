"""A first leaderboard: finished runs, grouped over seeds, ranked by GM."""

import hashlib
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from fomo.budget.units import NEAREST
from fomo.config.schema import read_values, sha256_without_seed
from fomo.errors import FomoError
from fomo.results.files import read_ledger, read_run_card, spent_key
from fomo.results.scores import Point, Scores, read_scores
from fomo.system.reading import read_bytes

COUNTED = ("total_mafs", "total_gflops")
GIGA = 10**9


@dataclass(frozen=True)
class Entry:
    """One method in one track: means over its seeds, and sample standard deviations (``None`` for one seed).

    ``track`` names what may be compared: stream, data, number of updates, budget. Ranks count within it. ``folders``
    are the runs behind the means, in the order of ``seeds``.
    """

    label: str
    track: str
    rank: int
    seeds: tuple[int, ...]
    ka: float
    zs: float
    gm: float
    ka_deviation: float | None
    zs_deviation: float | None
    gm_deviation: float | None
    folders: tuple[str, ...]
    marks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Board:
    """Entries from best to worst, and why other folders are not among them."""

    entries: tuple[Entry, ...]
    refused: dict[str, str]


class _Run(NamedTuple):
    seed: int
    label: str
    scores: Scores
    folder: Path


def leaderboard(folders: Sequence[Path]) -> Board:
    """Read, check and rank. A run that is not finished, or scored on validation data, is refused with the reason."""
    groups: dict[tuple[str, str], list[_Run]] = {}
    refused: dict[str, str] = {}
    for folder in dict.fromkeys(folders):
        try:
            scores = _ranked(folder)
            budget = _budget(folder)
            values = read_values(folder / "config.yaml")
        except FomoError as error:
            refused[str(folder)] = str(error)
            continue
        key = (f"{track(scores)}, {budget}", sha256_without_seed(values))
        groups.setdefault(key, []).append(_Run(values["seed"], values.get("label", ""), scores, folder))
    made = (_entry(name, runs) for (name, _), runs in groups.items())
    entries = sorted(made, key=lambda entry: (entry.track, -entry.gm))
    return Board(tuple(_with_ranks(entries)), refused)


def track(scores: Scores) -> str:
    """Runs of one track have the same datasets, with the same data in them, and the same number of updates."""
    names = hashlib.sha256("\n".join(sorted(scores.datasets)).encode()).hexdigest()[:6]
    stream = scores.content["stream"]
    data = f", data {stream['data_sha256'][:6]}" if "data_sha256" in stream else ""
    return f"{stream['name']}, {scores.num_tasks} updates, datasets {names}{data}"


def _with_ranks(entries: Sequence[Entry]) -> Iterator[Entry]:
    place: Counter[str] = Counter()
    for entry in entries:
        place[entry.track] += 1
        yield replace(entry, rank=place[entry.track])


def _ranked(folder: Path) -> Scores:
    scores = read_scores(folder)
    if scores.content["split"] != "test":
        raise FomoError(f"{folder}: scored on the {scores.content['split']} split: never ranked.")
    scores.final  # noqa: B018  raises when the run is not finished
    if not (folder / "card.json").is_file():
        raise FomoError(f"{folder}: not finished: it holds no card.json.")
    _check_untouched(folder)
    return scores


def _check_untouched(folder: Path) -> None:
    """The card, written last, holds the hashes of scores and ledger: edited ones are not ranked."""
    card = read_run_card(folder)
    promised = {f"{name}.json": card[f"{name}_sha256"] for name in ("scores", "ledger")}
    for name, digest in promised.items():
        if not (folder / name).is_file():
            raise FomoError(f"{folder}: it holds no {name}.")
        if hashlib.sha256(read_bytes(folder / name)).hexdigest() != digest:
            raise FomoError(f"{folder}: {name} is not the one that the run wrote (its hash differs from the card's).")


def _budget(folder: Path) -> str:
    """The compute that a run was given, in words; a run that spent more is refused."""
    ledger = read_ledger(folder)
    unit, total = ledger["unit"], ledger["total"]
    charged = ledger["charged"][spent_key(unit)] / (1 if unit == "total_mafs" else GIGA)
    if unit in COUNTED and charged > total and NEAREST not in ledger["marks"]:
        raise FomoError(f"{folder}: the budget was overspent: {charged:.9g} of {total:.9g} {unit}.")
    return f"{unit} {total:,.9g}"


def _entry(name: str, runs: list[_Run]) -> Entry:
    by_seed = {run.seed: run for run in sorted(runs, key=lambda run: run.seed)}
    points: list[Point] = [run.scores.final for run in by_seed.values()]
    ka, ka_deviation = _mean_and_deviation([point.ka for point in points])
    zs, zs_deviation = _mean_and_deviation([point.zs for point in points])
    gm, gm_deviation = _mean_and_deviation([point.gm for point in points])
    return Entry(
        label=runs[0].label,
        track=name,
        rank=0,
        seeds=tuple(by_seed),
        ka=ka,
        zs=zs,
        gm=gm,
        ka_deviation=ka_deviation,
        zs_deviation=zs_deviation,
        gm_deviation=gm_deviation,
        folders=tuple(str(run.folder) for run in by_seed.values()),
        marks=tuple(dict.fromkeys(mark for run in by_seed.values() for mark in run.scores.marks)),
    )


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
