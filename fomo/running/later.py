"""Evaluations that a finished run has left out (``evaluation.every_tasks``), made from the weights that it kept."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from fomo.config import factory
from fomo.config.schema import Resolved
from fomo.errors import FomoError
from fomo.evaluation.kinds import Scored
from fomo.evaluation.zero_shot import evaluate
from fomo.model import weights
from fomo.model.clip import ClipModel
from fomo.report.page import write_report
from fomo.results.card import read_card
from fomo.results.layout import CARD, weights_after
from fomo.results.rewriting import rewrite, settle
from fomo.results.samples import Hits, evaluation_name, keep_hits
from fomo.results.scores import Evaluation, Scores
from fomo.results.scores_file import read_scores
from fomo.running.contents import check_unchanged
from fomo.running.folder import holding, state_of
from fomo.running.kept import check_kept
from fomo.running.live import Progress
from fomo.stream.definition import Stream
from fomo.system.determinism import deterministic


def left_out(run: Path, tasks: Sequence[int] = ()) -> list[int]:
    """After which updates a finished run is to be evaluated yet: of ``tasks``, or of all.

    Raises:
        FomoError: the run is not finished or was edited, there is no such update, or its weights are not kept.
    """
    if not (run / CARD).is_file():
        raise FomoError(f"{run}: no finished run. `fomo run` goes on with one; its own evaluations come by themselves.")
    settle(run)
    return _missing(run, tasks)


def _missing(run: Path, tasks: Sequence[int]) -> list[int]:
    read_card(run).check_untouched(run)
    scores = read_scores(run)
    odd = [task for task in tasks if not 0 <= task <= scores.num_tasks]
    if odd:
        raise FomoError(f"{run}: there is no update {odd[0]}: the run has {scores.num_tasks}.")
    done = {each.task for each in scores.evaluations}
    missing = [task for task in sorted(set(tasks) or range(scores.num_tasks + 1)) if task not in done]
    lost = [task for task in missing if not weights_after(run, task, scores.num_tasks).is_file()]
    if lost:
        more = f" (and of {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise FomoError(
            f"{run}: the weights after update {lost[0]}{more} are not kept, so it cannot be evaluated any more. "
            "keep_weights=all has a run keep them."
        )
    return missing


def evaluate_left_out(run: Path, resolved: Resolved, tasks: Sequence[int], progress: Progress) -> None:
    """Score the models after ``tasks`` updates, of :func:`left_out`, as the run would have; each is kept at once.

    Args:
        run: The folder of the finished run.
        resolved: Its configuration, perhaps with another device.
        tasks: After which updates.
        progress: Hears of each dataset.

    Raises:
        FomoError: the configuration is of another run, what the run was made with is not what is there now, or the
            weights are not those that the run kept.
    """
    config = resolved.config
    state_of(run, resolved)
    with holding(run), deterministic(config.runtime.deterministic):
        tasks = _missing(run, tasks)  # another process may have scored some of them
        if tasks:
            check_kept(run, [weights_after(run, task, read_scores(run).num_tasks) for task in tasks])
        check_unchanged(run, resolved)
        model = factory.model(config)
        stream = factory.stream(config)
        for task in tasks:
            scores = read_scores(run)
            _load(model, weights_after(run, task, scores.num_tasks))
            found = _evaluated(resolved, model, stream, scores, task, progress)
            rewrite(replace(scores, evaluations=_with(scores.evaluations, found)))
            point = scores.point(found)
            progress.scored(task, point.ka, point.zs)
    write_report(run)


def _load(model: ClipModel, path: Path) -> None:
    try:
        weights.load(model.network, load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise FomoError(f"{path}: not the weights of this run's model ({str(error).splitlines()[0]}).") from None


def _evaluated(
    resolved: Resolved, model: ClipModel, stream: Stream, scores: Scores, task: int, progress: Progress
) -> Evaluation:
    config = resolved.config
    hits: dict[str, Hits] = {}

    def heard(name: str, scored: Scored) -> None:
        hits[name] = scored.hits
        progress.evaluating(task, name)

    found = evaluate(model, stream, task, config.evaluation, config.runtime, heard)
    if config.evaluation.keep_samples:
        keep_hits(scores, evaluation_name(found), hits)
    return found


def _with(evaluations: Sequence[Evaluation], more: Evaluation) -> tuple[Evaluation, ...]:
    return tuple(sorted([*evaluations, more], key=lambda each: each.task))
