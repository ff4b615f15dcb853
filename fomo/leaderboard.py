"""A first leaderboard: finished runs, grouped over seeds, ranked by GM."""

import hashlib
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fomo.budget.units import NEAREST
from fomo.config import read_values, sha256_without_seed
from fomo.errors import FomoError
from fomo.reading import read_bytes
from fomo.run_files import read_ledger, read_run_card, spent_key
from fomo.scores import Point, Scores, read_scores

COUNTED = ("total_mafs", "total_gflops")
GIGA = 10**9


@dataclass(frozen=True)
class Entry:
    """One method in one track: means over its seeds, and the sample standard deviation of GM (``None`` for one seed).

    ``track`` names what may be compared: stream, data, number of updates, budget. Ranks count within it.
    """

    label: str
    track: str
    rank: int
    seeds: tuple[int, ...]
    ka: float
    zs: float
    gm: float
    gm_deviation: float | None
    marks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Board:
    """Entries from best to worst, and why other folders are not among them."""

    entries: tuple[Entry, ...]
    refused: dict[str, str]


def leaderboard(folders: Sequence[Path]) -> Board:
    """Read, check and rank. A run that is not finished, or scored on validation data, is refused with the reason."""
    groups: dict[tuple[str, str], list[tuple[int, str, Scores]]] = {}
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
        groups.setdefault(key, []).append((values["seed"], values.get("label", ""), scores))
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


def _entry(name: str, runs: list[tuple[int, str, Scores]]) -> Entry:
    by_seed = {seed: scores for seed, _, scores in sorted(runs, key=lambda run: run[0])}
    points: list[Point] = [scores.final for scores in by_seed.values()]
    gms = [point.gm for point in points]
    return Entry(
        label=runs[0][1],
        track=name,
        rank=0,
        seeds=tuple(by_seed),
        ka=statistics.fmean(point.ka for point in points),
        zs=statistics.fmean(point.zs for point in points),
        gm=statistics.fmean(gms),
        gm_deviation=statistics.stdev(gms) if len(gms) > 1 else None,
        marks=tuple(runs[0][2].marks),
    )
