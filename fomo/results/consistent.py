"""Whether the files of a finished run tell of one run: what is said in two places has to be the same.

It finds what was edited, not what was forged together. What a file of an older version does not say is not asked for.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.card import RunCard
from fomo.results.config_file import comparable
from fomo.results.layout import CARD, CONFIG, LEDGER, SCORES, STREAM
from fomo.results.ledger import LedgerFile
from fomo.results.scores import Scores
from fomo.results.stream import StreamFile
from fomo.system.checks import is_number
from fomo.system.digest import json_digest

RESULT = (CONFIG, STREAM, SCORES, LEDGER, CARD)
"""The files that a result rests on."""


def refuse_links(run: Path) -> None:
    """Refuse a run of which a file of the result is a link: it may lead out of the folder.

    Raises:
        FomoError: the file is named.
    """
    for name in RESULT:
        if (run / name).is_symlink():
            raise FomoError(f"{run / name} is a link: put the file itself there.")


def check_consistent(
    run: Path, scores: Scores, card: RunCard, ledger: LedgerFile, values: Mapping[str, Any], stream: StreamFile
) -> None:
    """Refuse a run whose files contradict one another.

    Args:
        run: The folder, for the error.
        scores: What ``scores.json`` holds.
        card: What ``card.json`` holds.
        ledger: What ``ledger.json`` holds.
        values: What ``config.yaml`` holds.
        stream: What ``stream.json`` holds.

    Raises:
        FomoError: the first contradiction is named.
    """
    card.check_untouched(run)
    for what, one, other in _pairs(scores, card, ledger, values, stream):
        if one not in (None, "") and other not in (None, "") and one != other:
            raise FomoError(f"{run}: edited, or put together from several runs: {what} ({one!r:.80}, {other!r:.80}).")
    if ledger.tasks:
        _check_sums(run, ledger)
    for evaluation in scores.ends:
        for name, num in evaluation.num_samples.items():
            if name in scores.datasets and num != scores.datasets[name].num_samples:
                raise FomoError(f"{run}: task {evaluation.task} scored {num!r:.20} samples of '{name}', and not all.")


def _pairs(
    scores: Scores, card: RunCard, ledger: LedgerFile, values: Mapping[str, Any], stream: StreamFile
) -> Iterator[tuple[str, Any, Any]]:
    """What is said twice: what it is, and both values; empty ones are not known."""
    evaluation = values.get("evaluation")
    yield f"{CONFIG} has another hash than {CARD} says", card.config_sha256, json_digest(comparable(values))
    yield f"{STREAM} has another hash than it says", stream.sha256, stream.definition_sha256
    yield f"{STREAM} and {SCORES} say other streams", stream.sha256, scores.stream.sha256
    yield f"{CARD} and {SCORES} say other streams", card.stream_sha256, scores.stream.sha256
    yield f"{STREAM} and {SCORES} say other data", stream.data_sha256, scores.stream.data_sha256
    yield f"{CARD} and {SCORES} say other data", card.stream_data_sha256, scores.stream.data_sha256
    yield f"{STREAM} and {SCORES} have other numbers of updates", len(stream.tasks), scores.num_tasks
    yield f"{CONFIG} and {SCORES} say other score versions", values.get("score_version"), scores.score_version
    yield f"{CONFIG} and {CARD} have other labels", values.get("label"), card.label
    if isinstance(budget := values.get("budget"), Mapping):
        yield f"{CONFIG} and {LEDGER} say other budgets", _total(budget, ledger.unit), ledger.total
    if isinstance(evaluation, Mapping):
        yield f"{CONFIG} and {SCORES} say other splits", evaluation.get("split"), scores.split


def _total(budget: Mapping[str, Any], unit: str) -> float | str:
    """The configured budget in a unit; in words where there is none in it."""
    given: Any = budget.get(unit)
    scale: Any = budget.get("scale", 1.0)
    return float(given) * scale if is_number(given) and is_number(scale) else f"none in {unit}"


def _check_sums(run: Path, ledger: LedgerFile) -> None:
    """What was charged is what was charged to the tasks."""
    for unit in ("steps", "flops", "mafs"):
        whole = getattr(ledger.charged, unit)
        parts = [getattr(task.charged, unit) for task in ledger.tasks.values()]
        if whole is not None and None not in parts and not math.isclose(whole, math.fsum(parts), rel_tol=1e-9):
            raise FomoError(f"{run}: {LEDGER} was edited: {whole:.9g} {unit} in all, {math.fsum(parts):.9g} by task.")
