"""All scores of many runs as one tidy table, a number a row, read and written a run at a time."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.card import check_finished
from fomo.results.config_file import read_config
from fomo.results.layout import LEDGER
from fomo.results.ledger import read_ledger
from fomo.results.measures import GuestFailed, Metric, chosen, measured, registry
from fomo.results.scores import Evaluation, NotFinished, Scores
from fomo.results.scores_file import read_scores
from fomo.system.text import spreadsheet
from fomo.system.writing import file_beside

COLUMNS = {
    "run": str,
    "seed": int,
    "method": str,
    "model": str,
    "stream": str,
    "split": str,
    "budget": str,
    "score_version": str,
    "task": int,
    "dataset": str,
    "metric": str,
    "value": float,
}
"""Names and types. What a row has not, as the dataset of a mean, is an empty string; every row has all numbers."""
BATCH = 2**16
"""Rows of a row group of a Parquet file, all that is in memory at once."""
PATH = ("ka", "zs", "gm")
"""Metrics that every evaluation has a value of."""
Row = tuple[Any, ...]
Note = Callable[[str, bool], None]
"""Hears a line, and whether something is wrong, which is more than not finished."""


def export(folders: Iterable[Path], file: Path, metrics: Sequence[Metric], note: Note) -> int:
    """Write the table of the runs to ``file``, whole or not at all; the number of rows.

    Args:
        folders: Run folders; one that is not finished has the rows of what is scored.
        file: ``.csv``, or ``.parquet`` where pyarrow is installed (:func:`check_file`).
        metrics: What is computed of each finished run, besides the scores themselves.
        note: Hears which run is not finished, which cannot be read and is left out, which guest's metric fails.
    """
    with WRITERS[file.suffix](file) as write:
        return sum(write(list(_noted(folder, metrics, note))) for folder in folders)


def metrics_of_runs(note: Note) -> Iterator[Metric]:
    """Every metric that is not among the scores of each evaluation; a guest's that cannot be imported is said."""
    for name in registry():
        try:
            yield from (metric for metric in chosen([name]) if name not in PATH)
        except GuestFailed as error:
            note(str(error), True)


def check_file(file: Path) -> None:
    """Refuse, before anything is read, what could not be written.

    Raises:
        FomoError: the ending is unknown, the folder is not there, pyarrow is missing.
    """
    if file.suffix not in WRITERS:
        raise FomoError(f"--out {file}: the ending says the format, allowed are {' and '.join(WRITERS)}.")
    if not file.parent.is_dir():
        raise FomoError(f"--out {file}: there is no folder '{file.parent}'.")
    if file.suffix == ".parquet":
        _pyarrow()


def _noted(folder: Path, metrics: Sequence[Metric], note: Note) -> Iterator[Row]:
    try:
        scores = read_scores(folder)
        config = read_config(folder)
        check_finished(folder, config)
        about = _about(folder, scores, config)
        yield from ((*about, *row) for row in rows(scores))
        _ = scores.final
    except FomoError as error:
        note(str(error), not isinstance(error, NotFinished))
        return
    for name, value in measured(scores, metrics).items():
        if isinstance(value, GuestFailed):
            note(str(value), True)
        elif not isinstance(value, FomoError):
            yield (*about, scores.num_tasks, "", name, value)


def _about(folder: Path, scores: Scores, values: Mapping[str, Any]) -> Row:
    """What all rows of a run begin with; ``values`` are its configuration's."""
    model = values.get("model")
    name = str(model.get("name", "")) if isinstance(model, dict) else ""
    about = (str(folder), values["seed"], str(values.get("label", "")), name)
    return (*about, scores.stream.name, scores.split, _budget(folder), scores.score_version)


def _budget(folder: Path) -> str:
    if not (folder / LEDGER).is_file():
        return ""
    ledger = read_ledger(folder)
    return f"{ledger.unit} {ledger.total:.9g}"


def rows(scores: Scores) -> Iterator[Row]:
    """Task, dataset, metric and value of every score: of datasets, their means, and the tasks' concepts.

    ``accuracy_of_task_3`` is on the test samples of the concepts of task 3. Of what was scored on a part of the samples
    the names end with ``_on_subset``.
    """
    for evaluation in (*scores.evaluations, *scores.in_full):
        suffix = "_on_subset" if evaluation.subset < 1 else ""
        for dataset, metric, value in _of_evaluation(scores, evaluation):
            yield evaluation.task, dataset, f"{metric}{suffix}", float(value)


def _of_evaluation(scores: Scores, evaluation: Evaluation) -> Iterator[tuple[str, str, float]]:
    for name, about in scores.datasets.items():
        yield name, about.metric, evaluation.scores[name]
    point = scores.point(evaluation)
    yield from (("", metric, getattr(point, metric)) for metric in PATH)
    for task, value in evaluation.tasks.items():
        yield "", f"accuracy_of_task_{task}", value


@contextmanager
def _csv(file: Path) -> Iterator[Callable[[Sequence[Row]], int]]:
    with file_beside(file) as scratch, scratch.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)

        def write(rows: Sequence[Row]) -> int:
            writer.writerows(map(spreadsheet, row) for row in rows)
            return len(rows)

        yield write


@contextmanager
def _parquet(file: Path) -> Iterator[Callable[[Sequence[Row]], int]]:
    pyarrow, parquet = _pyarrow()
    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    waiting: list[Row] = []
    with file_beside(file) as scratch, parquet.ParquetWriter(scratch, schema) as writer:

        def write(rows: Sequence[Row], least: int = BATCH) -> int:
            waiting.extend(rows)
            if len(waiting) >= least:
                writer.write_table(pyarrow.table(list(map(list, zip(*waiting, strict=True))), schema=schema))
                waiting.clear()
            return len(rows)

        yield write
        write((), least=1)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise FomoError(
            "Parquet needs pyarrow, which a plain installation leaves out: pip install 'fomo-bench[parquet]'. "
            "A file that ends with .csv needs nothing."
        ) from None
    return pyarrow, parquet


Writer = Callable[[Path], AbstractContextManager[Callable[[Sequence[Row]], int]]]
WRITERS: dict[str, Writer] = {".csv": _csv, ".parquet": _parquet}
