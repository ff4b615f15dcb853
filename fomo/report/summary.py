"""What ``fomo score`` shows: runs by the names that people give them, side by side where they may be compared."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.report.labels import shared_settings, without
from fomo.results.card import check_finished
from fomo.results.config_file import read_config
from fomo.results.layout import CONFIG
from fomo.results.measures import GuestFailed, Metric, measured, numbers
from fomo.results.metrics import NotDefined
from fomo.results.scores import NotFinished, Point, Scores
from fomo.results.scores_file import read_scores

HASH = re.compile(r"[0-9a-f]{12}(\.again-\d+)?")
"""The folder of a run that was given none."""
MAIN = {"KA": "ka", "ZS": "zs", "GM": "gm"}
CHANGES = {"ΔKA": "ka_change", "ΔZS": "zs_change", "ΔGM": "gm_change"}
SPLITS = {"test": "test split", "validation": "validation split: to choose settings by, never ranked"}
NOT_READ = "without scores that can be read"
FINISHED = "finished"
NOT_FINISHED = "not finished"
WRONG = "wrong"


@dataclass(frozen=True)
class ScoredRun:
    """A run as a row: ``name`` is what a person would call it, ``method`` its label, both perhaps strange strings.

    ``scores`` are ``None`` where they cannot be read, ``seed`` where no configuration says it. ``metrics`` are ``None``
    where the run has no such number, and ``undefined`` says why. ``problem`` is why it is not finished, or what is
    wrong with it; else empty.
    """

    folder: Path
    name: str
    method: str
    seed: int | None
    scores: Scores | None
    status: str
    problem: str
    metrics: Mapping[str, float | None]
    undefined: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Path of the scores, the final ones ``null`` where the run is not finished."""
        about: dict[str, Any] = {"run": str(self.folder), "name": self.name, "method": self.method, "seed": self.seed}
        finished = self.status == FINISHED
        about |= {"finished": finished, "status": self.status, "problem": self.problem}
        about |= {"undefined": dict(self.undefined)}
        if self.scores is None:
            return about | {"marks": [], "split": None, "tasks": [], "final": None, "metrics": dict(self.metrics)}
        points = [_plain(point) for point in self.scores.points]
        scored = {"marks": list(self.scores.caveats), "split": self.scores.split, "tasks": points}
        return (
            about | scored | {"final": _plain(self.scores.final) if finished else None, "metrics": dict(self.metrics)}
        )


def _plain(point: Point) -> dict[str, Any]:
    return asdict(point) | {"gm": point.gm}


def scored_runs(folders: Sequence[Path], metrics: Sequence[Metric]) -> list[ScoredRun]:
    """A row for each run folder, in their order; nothing that is wrong with one keeps the others from being read.

    ``metrics`` are those that the rows have.
    """
    rows = [_scored(folder, name, metrics) for folder, name in zip(folders, _shortest(folders), strict=True)]
    times = Counter(row.name for row in rows)
    return [_told_apart(row) if times[row.name] > 1 else row for row in rows]


def _told_apart(row: ScoredRun) -> ScoredRun:
    return replace(row, name=f"{row.name} ({row.folder.name})")


def _shortest(folders: Sequence[Path]) -> list[str]:
    """The end of each folder's path that no other one has; of one folder its name."""
    paths = [folder.resolve() for folder in folders]
    depth = 1
    names = [path.name for path in paths]
    while len(set(names)) < len(set(paths)):
        depth += 1
        names = ["/".join(path.parts[-depth:]) for path in paths]
    return names


def _scored(folder: Path, path: str, metrics: Sequence[Metric]) -> ScoredRun:
    config = _config(folder)
    method, seed = (str(config.get("label", "")), config["seed"]) if config else ("", None)
    name = f"{method}, seed {seed}" if HASH.fullmatch(folder.name) and method else path
    row = ScoredRun(folder, name, method, seed, None, WRONG, "", dict.fromkeys(metric.name for metric in metrics))
    try:
        scores = read_scores(folder)
        row = replace(row, scores=scores)
        _ = scores.final
        check_finished(folder, config)
    except NotFinished as error:
        return replace(row, status=NOT_FINISHED, problem=_reason(error))
    except FomoError as error:
        return replace(row, problem=str(error))
    found = measured(scores, metrics)
    failed = " ".join(str(each) for each in found.values() if isinstance(each, GuestFailed))
    reasons = {
        name: str(each).removeprefix(f"{folder}: ") for name, each in found.items() if isinstance(each, NotDefined)
    }
    return replace(row, status=FINISHED, problem=failed, metrics=numbers(found), undefined=reasons)


def _reason(error: NotFinished) -> str:
    """What is missing, without the path, which the row says."""
    return str(error).rpartition("not finished: ")[2].rstrip(".")


def _config(folder: Path) -> dict[str, Any] | None:
    """The configuration, if it can be read."""
    try:
        return read_config(folder) if (folder / CONFIG).is_file() else None
    except FomoError:
        return None


def groups(runs: Sequence[ScoredRun]) -> Iterator[tuple[str, list[ScoredRun]]]:
    """Runs that may stand in one table, with its title: of one split, stream, data, length and score version.

    The test split comes first; last what cannot be read.
    """
    titles = {id(run): _title(run.scores) for run in runs}
    order = sorted(dict.fromkeys(titles.values()), key=lambda title: (title == NOT_READ, title))
    for title in order:
        yield title, [run for run in runs if titles[id(run)] == title]


def _title(scores: Scores | None) -> str:
    if scores is None:
        return NOT_READ
    data = f", data {scores.stream.data_sha256[:6]}" if scores.stream.data_sha256 else ""
    about = f"{scores.stream.name} stream, {scores.num_tasks} updates, score version {scores.score_version}{data}"
    return f"{SPLITS.get(scores.split, f'{scores.split} split')} · {about}"


@dataclass(frozen=True)
class Summary:
    """A table of runs: the settings that all labels name, a row each; the columns in ``words`` hold no numbers."""

    shared: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]


def summary(runs: Sequence[ScoredRun], metrics: Sequence[str]) -> Summary:
    """The runs of a group, with these metrics beside KA, ZS, GM and what they changed.

    A run whose folder nobody has named is named by method and seed, which have columns.
    """
    shared = shared_settings([run.method for run in runs])
    columns = MAIN | CHANGES | {name: name for name in metrics if name not in {*MAIN.values(), *CHANGES.values()}}
    is_told = any(run.name != f"{run.method}, seed {run.seed}" for run in runs)
    named = ("run", "method") if is_told else ("method",)
    rows = []
    for run in runs:
        first = (run.name, without(run.method, shared) if run.method else "–")[-len(named) :]
        seed = "–" if run.seed is None else str(run.seed)
        cells = [_cell(run, name) for name in columns.values()]
        rows.append((*first, seed, run.status, *cells))
    return Summary(" ".join(shared), (*named, "seed", "status", *columns), tuple(rows), (*named, "seed", "status"))


def _cell(run: ScoredRun, name: str) -> str:
    value = run.metrics[name] if run.status == FINISHED else None
    return "–" if value is None else f"{value:+.1f}" if name.endswith("_change") else f"{value:.1f}"
