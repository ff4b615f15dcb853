"""One experiment from its configuration to its folder."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError
from safetensors.torch import save_file

from fomo.budget.ledger import Ledger
from fomo.checkpoint.files import Checkpoint, latest
from fomo.checkpoint.saver import Saver
from fomo.errors import FomoError, NotFinite, Stopped
from fomo.evaluation.zero_shot import evaluate
from fomo.loop import Experiment, run
from fomo.model import weights
from fomo.planning.planner import learner_of
from fomo.report.page import write_report
from fomo.running.card import run_card
from fomo.running.folder import BAD_BATCH, CHECKPOINTS, WEIGHTS, WORK, State, check_resumable, is_full, start, state_of
from fomo.running.out_of_memory import Failed, explain
from fomo.running.prepared import Prepared
from fomo.running.resume import Checkpoints, refuse_other
from fomo.system.lock import locked
from fomo.system.memory_fault import MemoryFault, during
from fomo.system.signals import Stop
from fomo.system.usage import Usage
from fomo.system.writing import file_beside, write_json
from fomo.training.loader import Batches
from fomo.training.nonfinite import guard_of
from fomo.training.record import Record, scores_header


class Progress(Protocol):
    """Who wants to see how far a run is."""

    def planned(self, num_tasks: int, num_steps: int, num_datasets: int) -> None:
        """What the run consists of."""
        ...

    def step(self, task: int, step: int, loss: float) -> None:
        """A step was made."""
        ...

    def evaluating(self, task: int, dataset: str) -> None:
        """A dataset was scored."""
        ...


def execute(prepared: Prepared, folder: Path, progress: Progress, stop: Stop | None = None) -> None:
    """Run it, or go on with it, and write the folder; ``card.json``, written last, says that it is finished.

    Raises:
        Stopped: ``stop`` heard a signal; what is saved is in its text.
        FomoError: another process runs in ``folder``, or what lies there is of another run.
    """
    with locked(folder):
        if state_of(folder, prepared.resolved) is State.FINISHED:  # it may be by now
            return
        try:
            _execute(prepared, folder, progress, stop or Stop())
        except (OSError, SafetensorError) as error:
            if not is_full(error):
                raise
            raise FomoError(f"{folder}: no room left ({error}). Make some; the same command goes on.") from error


def _execute(prepared: Prepared, folder: Path, progress: Progress, stop: Stop) -> None:
    config, stream, network = prepared.resolved.config, prepared.stream, prepared.model.network
    found = _enter(prepared, folder)
    record = Record(folder, _scores_header(prepared), progress.step)
    ledger, usage = Ledger(prepared.plan, config.seed, prepared.begin_run), Usage(config.runtime.device)
    learner = learner_of(config, network, prepared.methods)
    batches = Batches(prepared.maker, prepared.model, config.runtime)
    guard = guard_of(config.on_nan, config.rewind_every, network, prepared.methods, ledger)
    saver = Saver(folder / CHECKPOINTS, prepared.identity, config.checkpoint, found.place if found else None)
    keeper = Checkpoints(saver, stop, learner, batches, ledger, record, usage, guard, found)
    del found  # and with it a copy of all tensors
    score = _evaluator(prepared, record, progress, usage, stop)
    experiment = Experiment(config.seed, learner, batches, prepared.learning_rate, score, keeper, guard)
    progress.planned(len(prepared.plan.steps), sum(prepared.plan.steps) - sum(ledger.steps), len(stream.datasets))
    with _explained(prepared, folder, keeper, saver, record):
        run(experiment, ledger, record)
    usage.stop()
    _write_results(prepared, folder, ledger, usage, {"marks": record.marks, "left_out": batches.left_out})
    saver.discard()


def _enter(prepared: Prepared, folder: Path) -> Checkpoint | None:
    """Make the run folder, or find what is to be gone on from in it."""
    found = latest(folder / CHECKPOINTS, folder / "events.jsonl")
    check_resumable(folder, prepared.resolved, found is not None)
    if found:
        refuse_other(found, prepared.identity)
    else:
        start(folder, prepared.resolved)
    prepared.methods.work_in(folder / WORK)
    write_json(folder / "stream.json", prepared.stream.definition() | prepared.stream_hashes)
    return found


def _scores_header(prepared: Prepared) -> dict[str, Any]:
    split = prepared.resolved.config.evaluation.split
    return scores_header(prepared.stream, split, prepared.marks, prepared.stream_hashes)


@contextmanager
def _explained(prepared: Prepared, folder: Path, keeper: Checkpoints, saver: Saver, record: Record) -> Iterator[None]:
    """Say what is kept when a run ends early, and how to go on; in any case wait until it is written."""
    try:
        yield
    except Stopped as stopped:
        saver.wait()
        raise keeper.told(stopped) from None
    except NotFinite as error:
        path = _save_batch(prepared, folder, error.task, error.step)
        raise FomoError(f"{error} Its batch, images as they were and tokens, is in {path}.") from None
    except MemoryFault as fault:
        saver.wait()
        sizes = tuple(prepared.maker.pools.update_sizes)
        failed = Failed(prepared.resolved.config, prepared.model, prepared.methods, sizes, saver.newest)
        raise explain(fault, failed) from None
    finally:
        saver.wait()
        record.close()


def _write_results(prepared: Prepared, folder: Path, ledger: Ledger, usage: Usage, counted: Mapping[str, Any]) -> None:
    """The last files; the card, which says that the run is finished, after all others."""
    write_json(folder / "ledger.json", ledger.to_json())
    _save_weights(prepared, folder / WEIGHTS)
    write_report(folder)
    write_json(folder / "card.json", {**run_card(prepared, folder, ledger, usage), **counted})


def _evaluator(
    prepared: Prepared, record: Record, progress: Progress, usage: Usage, stop: Stop
) -> Callable[[int], None]:
    config = prepared.resolved.config

    def score(task: int) -> None:
        def seen(dataset: str) -> None:
            stop.raise_if_asked()  # what a signal raised may have been lost in a finaliser
            progress.evaluating(task, dataset)

        with usage.paused(), during("evaluation", task):
            result = evaluate(prepared.model, prepared.stream, config.evaluation, config.runtime, seen)
            record.evaluation(task, result)

    return score


def _save_batch(prepared: Prepared, folder: Path, task: int, step: int) -> Path:
    """Make the batch of a step again, and keep it."""
    raw = prepared.maker[(task, step)]
    path = folder / BAD_BATCH
    with file_beside(path) as scratch:
        save_file({"images": raw.images.contiguous(), "tokens": raw.tokens}, scratch)
    return path


def _save_weights(prepared: Prepared, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with prepared.methods.deployed(prepared.model.network):
        final = {name: value.cpu().contiguous() for name, value in weights.folded(prepared.model.network).items()}
    with file_beside(path) as scratch:
        save_file(final, scratch)
