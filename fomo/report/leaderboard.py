"""A first leaderboard: finished runs, grouped over seeds, ranked by GM."""

import hashlib
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from fomo.errors import FomoError
from fomo.results.card import RunCard, read_card
from fomo.results.config_file import read_config, sha256_without_seed, stream_seed
from fomo.results.layout import CARD
from fomo.results.ledger import read_ledger
from fomo.results.scores import Point, Scores, read_scores
from fomo.system.digest import json_digest

NEAREST = "rounded to nearest"
"""The caveat of a budget whose last step may overspend by half."""


@dataclass(frozen=True)
class BoardEntry:
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
    caveats: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        values = asdict(self)
        return values | {"marks": values.pop("caveats")}


@dataclass(frozen=True)
class Board:
    """Entries from best to worst, and why other folders are not among them."""

    entries: tuple[BoardEntry, ...]
    refused: dict[str, str]


class _Run(NamedTuple):
    seed: int
    label: str
    scores: Scores
    folder: Path


def leaderboard(folders: Sequence[Path]) -> Board:
    """Read, check and rank. A run that is not finished, or scored on validation data, is refused with the reason."""
    groups: dict[tuple[str, str, str], list[_Run]] = {}
    refused: dict[str, str] = {}
    for folder in dict.fromkeys(folders):
        try:
            scores = _ranked(folder)
            card = read_card(folder)
            budget = _budget(folder)
            values = read_config(folder)
        except FomoError as error:
            refused[str(folder)] = str(error)
            continue
        code = json_digest(card.code)[:6] if card.code else ""
        key = (f"{track(scores, card)}{_stream_seed(values)}, {budget}", sha256_without_seed(values), code)
        groups.setdefault(key, []).append(_Run(values["seed"], values.get("label", ""), scores, folder))
    made = _told_apart([(code, _entry(name, runs)) for (name, _, code), runs in groups.items()])
    best_first = sorted(made, key=lambda entry: (entry.track, -entry.gm))
    return Board(tuple(_with_ranks(best_first)), refused)


def _with_ranks(entries: Sequence[BoardEntry]) -> Iterator[BoardEntry]:
    """Entries, best first, with their rank in their track."""
    place: Counter[str] = Counter()
    for entry in entries:
        place[entry.track] += 1
        yield replace(entry, rank=place[entry.track])


def _told_apart(entries: Sequence[tuple[str, BoardEntry]]) -> Iterator[BoardEntry]:
    """The entries; where two of one label differ by the code of a part that is not ours, its hash is in the label."""
    codes: dict[tuple[str, str], set[str]] = {}
    for code, entry in entries:
        codes.setdefault((entry.track, entry.label), set()).add(code)
    for code, entry in entries:
        several = len(codes[entry.track, entry.label]) > 1
        yield replace(entry, label=f"{entry.label} (code {code or 'unknown'})") if several else entry


def track(scores: Scores, card: RunCard) -> str:
    """What runs of one track share: stream, number of updates, datasets, the data in them, and the base model."""
    names = hashlib.sha256("\n".join(sorted(scores.datasets)).encode()).hexdigest()[:6]
    data = f", data {scores.stream.data_sha256[:6]}" if scores.stream.data_sha256 else ""
    base = f", base {card.base_sha256[:6]}" if card.base_sha256 else ""
    return f"{scores.stream.name}, {scores.num_tasks} updates, datasets {names}{data}{base}"


def _stream_seed(values: Mapping[str, Any]) -> str:
    """What tells runs over one order of the stream from runs that each have the order of their own seed."""
    seed = stream_seed(values)
    return "" if seed is None else f", stream seed {seed}"


def _ranked(folder: Path) -> Scores:
    scores = read_scores(folder)
    if scores.split != "test":
        raise FomoError(f"{folder}: scored on the {scores.split} split: never ranked.")
    scores.final  # noqa: B018  raises when the run is not finished
    if not (folder / CARD).is_file():
        raise FomoError(f"{folder}: not finished: it holds no card.json.")
    read_card(folder).check_untouched(folder)
    return scores


def _budget(folder: Path) -> str:
    """The compute that a run was given, in words; a run that spent more is refused."""
    ledger = read_ledger(folder)
    charged = ledger.charged_units
    if charged is not None and charged > ledger.total and NEAREST not in ledger.caveats:
        raise FomoError(f"{folder}: the budget was overspent: {charged:.9g} of {ledger.total:.9g} {ledger.unit}.")
    return f"{ledger.unit} {ledger.total:,.9g}"


def _entry(name: str, runs: list[_Run]) -> BoardEntry:
    by_seed = {run.seed: run for run in sorted(runs, key=lambda run: run.seed)}
    points: list[Point] = [run.scores.final for run in by_seed.values()]
    ka, ka_deviation = _mean_and_deviation([point.ka for point in points])
    zs, zs_deviation = _mean_and_deviation([point.zs for point in points])
    gm, gm_deviation = _mean_and_deviation([point.gm for point in points])
    return BoardEntry(
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
        caveats=tuple(dict.fromkeys(caveat for run in by_seed.values() for caveat in run.scores.caveats)),
    )


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
