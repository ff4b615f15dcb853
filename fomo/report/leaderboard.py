"""The leaderboard: finished runs, from folders and submissions, grouped over seeds, ranked by GM, with what their seeds
can tell."""

import hashlib
import math
import statistics
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.card import RunCard, read_card
from fomo.results.config_file import ranked, read_config, sha256_without_seed
from fomo.results.consistent import check_consistent, refuse_links
from fomo.results.folders import real
from fomo.results.layout import CARD
from fomo.results.ledger import LedgerFile, read_ledger
from fomo.results.measures import GuestFailed, Metric, chosen, measured
from fomo.results.scores import Point, Scores
from fomo.results.scores_file import read_scores
from fomo.results.statistics import Comparison, Interval, compare, interval
from fomo.results.stream import read_stream
from fomo.results.submission import check_seed, opened
from fomo.system.digest import json_digest
from fomo.system.imports import uncollected
from fomo.system.text import shortened

NEAREST = "rounded to nearest"
"""The caveat of a budget whose last step may overspend by half."""
CONTENTS = ("name", "root", "path", "pool", "pool_size", "adaptation", "retention")
"""Keys of the stream that say where the data is, or which: the track has that by its contents, wherever it lies."""
LONGEST_WORDS = 1000
"""Characters of a run's track, and of its caveats."""
LONGEST_REASON = 600
"""Characters of why a run is not ranked, which may quote what a stranger wrote."""
MAIN = ("ka", "zs", "gm")
"""The metrics that every entry has."""


@dataclass(frozen=True)
class BoardEntry:
    """One method in one track: means over its seeds, and sample standard deviations (``None`` for one seed).

    ``track`` names what may be compared (:func:`track`, and the budget). Ranks count within it; equal GMs share one.
    ``folders`` name the runs behind the means, in the order of ``seeds``: a folder, or a submission and a folder in it.
    ``metrics`` are 95 % intervals over seeds, of :data:`MAIN` and of what else was asked for. ``on_front``: no entry of
    the track has as much of KA and ZS and more of one. ``against_next`` compares its GM with that of the next entry of
    the track, on common seeds; the last one has none.
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
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    on_front: bool = False
    against_next: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        values = asdict(self)
        told = self.against_next and {**values["against_next"], "differs": self.against_next.differs}
        return values | {"marks": values.pop("caveats"), "against_next": told}


@dataclass(frozen=True)
class BoardRun:
    """A run that may be ranked: what to call it, its settings and scores, and what it is ranked and grouped by.

    ``budget`` is the compute that it was given, in words; ``code`` tells apart parts that are not ours; ``steps`` are
    those that it took, ``steps_of`` those of each task, ``num_samples`` the rows in their batches; ``compute`` are the
    card's rates, and ``processes`` have taken the steps together.
    """

    name: str
    seed: int
    values: Mapping[str, Any]
    scores: Scores
    budget: str
    track: str
    code: str
    steps: int
    steps_of: Mapping[int, int] = field(default_factory=dict)
    num_samples: int = 0
    compute: Mapping[str, Any] | None = None
    processes: int = 1

    @property
    def key(self) -> "Key":
        """Equal for the runs of one entry: track, settings without the seed, code."""
        return self.track, sha256_without_seed(self.values), self.code


@dataclass(frozen=True)
class Board:
    """Entries from best to worst; why other runs are not among them; what else there is to say, a line each.

    ``runs`` are those behind the entries, by the name that entries give them.
    """

    entries: tuple[BoardEntry, ...]
    refused: dict[str, str]
    notes: tuple[str, ...] = ()
    runs: Mapping[str, BoardRun] = field(default_factory=dict)


Key = tuple[str, str, str]


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
            for run in _runs_in(place, split, refused):
                groups.setdefault(run.key, []).append(run)
    counted = {key: _one_of_each_seed(runs, refused, notes) for key, runs in groups.items()}
    made = {key: _entry(key[0], runs, wanted, notes) for key, runs in counted.items() if runs}
    entries = _told_apart(made, counted)
    best_first = sorted(entries, key=lambda entry: (entry.track, -entry.gm, entry.label, entry.folders))
    by_name = {run.name: run for runs in counted.values() for run in runs}
    ranked_entries = _compared(list(_with_ranks(best_first)), by_name)
    return Board(tuple(ranked_entries), dict(sorted(refused.items())), tuple(sorted(set(notes))), by_name)


def _runs_in(place: Path, split: str, refused: dict[str, str]) -> Iterator[BoardRun]:
    """The runs of a run folder or of a submission; why others may not be ranked is added to ``refused``."""
    try:
        with opened(place) as runs:
            for name, folder in runs.items():
                try:
                    yield _read(folder, name, split)
                except FomoError as error:
                    refused[name] = shortened(str(error).replace(str(folder), name), LONGEST_REASON)
    except FomoError as error:
        refused[str(place)] = shortened(str(error), LONGEST_REASON)


def _read(folder: Path, name: str, split: str) -> BoardRun:
    """A run that was scored on a split, checked.

    Raises:
        FomoError: it may not be ranked.
    """
    refuse_links(folder)
    scores = _finished(folder, split)
    card = read_card(folder)
    ledger = read_ledger(folder)
    values = read_config(folder)
    if name != str(folder):
        check_seed(folder, values)
    check_consistent(folder, scores, card, ledger, values, read_stream(folder))
    budget = _budget(folder, ledger)
    code = json_digest(card.code)[:6] if card.code else ""
    own = f"{track(scores, card, values)}, {budget}"
    _refuse_long(folder, own, ", ".join(scores.caveats))
    return BoardRun(
        name=name,
        seed=values["seed"],
        values=values,
        scores=replace(scores, folder=Path(name)),
        budget=budget,
        track=own,
        code=code,
        steps=ledger.charged.steps,
        steps_of=ledger.steps("charged"),
        num_samples=sum(ledger.samples.values()),
        compute=card.compute,
        processes=card.num_processes,
    )


def _refuse_long(folder: Path, track: str, caveats: str) -> None:
    """Refuse what would fill the board: these words stand on it in full."""
    for name, text in (("track has", track), ("caveats have", caveats)):
        if len(text) > LONGEST_WORDS:
            raise FomoError(f"{folder}: its {name} {len(text):,} characters, allowed are {LONGEST_WORDS:,}.")


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


def track(scores: Scores, card: RunCard, values: Mapping[str, Any]) -> str:
    """What runs of one track share: the score version, the stream and its order, number of updates, datasets and the
    data in them, base model, precision, and prompts and subset of the evaluation.

    Whatever else differs is a choice of the method, and in the label. What an older run does not say is left out.
    """
    names = hashlib.sha256("\n".join(sorted(scores.datasets)).encode()).hexdigest()[:6]
    parts = [scores.stream.name, f"scores {scores.score_version}", f"{scores.num_tasks} updates"]
    parts += [*_setting(card, values.get("stream", {})), f"datasets {names}"]
    parts += [f"data {scores.stream.data_sha256[:6]}"] if scores.stream.data_sha256 else []
    parts += [f"measured {scores.stream.measured_sha256[:6]}"] if scores.stream.measured_sha256 else []
    parts += [f"base {card.base_sha256[:6]}"] if card.base_sha256 else []
    parts += _precision(values["runtime"])
    evaluation = values.get("evaluation", {})
    parts += _prompts(evaluation)
    subset = evaluation.get("subset", "none")
    parts += [f"path on subset {subset}, seed {evaluation.get('subset_seed')}"] if subset != "none" else []
    return ", ".join(parts)


def _setting(card: RunCard, stream: Mapping[str, Any]) -> list[str]:
    """The ordering, and a hash of all that decides order and use of the data beside the seed."""
    if not stream:
        return []
    kept = {key: value for key, value in stream.items() if key not in CONTENTS and value is not None}
    digest = json_digest([kept, card.stream_listing_sha256])[:6]
    seed = [f"stream seed {stream['seed']}"] if stream.get("seed") is not None else []
    return [f"ordering {stream.get('ordering', 'own')}", *seed, f"setting {digest}"]


def _prompts(evaluation: Mapping[str, Any]) -> list[str]:
    """Which prompt templates; of those of a file a hash, wherever the file lay."""
    templates = evaluation.get("templates")
    found = evaluation.get("prompts")
    own = f" {json_digest(found)[:6]}" if found else ""
    return [f"prompts {templates}{own}"] if templates else []


def _precision(runtime: Mapping[str, Any]) -> list[str]:
    """What is computed in and, where that is something else, what the budget is planned for."""
    precision, planned = (runtime.get(key, "auto") for key in ("precision", "planned_precision"))
    if precision == "auto":
        return []
    return [precision if planned in ("auto", precision) else f"{precision} planned as {planned}"]


def _finished(folder: Path, split: str) -> Scores:
    scores = read_scores(folder)
    if scores.split != split:
        raise FomoError(f"{folder}: scored on the {scores.split} split: never ranked.")
    scores.final  # noqa: B018  raises when the run is not finished
    if not (folder / CARD).is_file():
        raise FomoError(f"{folder}: not finished: it holds no card.json.")
    return scores


def _budget(folder: Path, ledger: LedgerFile) -> str:
    """The compute that a run was given, in words; a run that spent more is refused."""
    charged = ledger.charged_units
    if charged is not None and charged > ledger.total and NEAREST not in ledger.caveats:
        raise FomoError(f"{folder}: the budget was overspent: {charged:.9g} of {ledger.total:.9g} {ledger.unit}.")
    return f"{ledger.unit} {ledger.total:,.9g}"


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
