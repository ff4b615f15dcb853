"""One experiment from its configuration to its folder."""

import hashlib
import platform
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from fomo import weights
from fomo.budget.flops import FlopMeter, Phases
from fomo.budget.ledger import Ledger
from fomo.budget.plan import Plan
from fomo.budget.planner import learner_of, parts_of, plan_run, without_recomputation
from fomo.budget.utilisation import Usage, peak, utilisation
from fomo.checkpoint import Damaged, latest, numbered, read_identity
from fomo.config import Config, Resolved, comparable
from fomo.data.fingerprint import stream_data_sha256
from fomo.data.pools import StreamPools
from fomo.errors import FomoError, NotFinite, Stopped
from fomo.evaluation import evaluate
from fomo.folder import BAD_BATCH, CHECKPOINTS, WEIGHTS, WORK, State, check_resumable, is_full, start, state_of
from fomo.loader import Batches, BatchMaker
from fomo.lock import locked
from fomo.loop import Experiment, Keeper, Learner, LearningRate, run
from fomo.memory_fault import MemoryFault, during
from fomo.method import Methods
from fomo.micro_batches import check_deterministic
from fomo.mixture import Mixture
from fomo.model import ClipModel, checkpoint_activations
from fomo.nonfinite import Guard, check_rewindable, guard_of
from fomo.out_of_memory import Failed, explain
from fomo.parts import build
from fomo.position import Position
from fomo.record import Record, scores_header, write_json
from fomo.report import write_report
from fomo.resume import Checkpoints, refuse_other
from fomo.run_files import is_count
from fomo.saver import Saver
from fomo.stopping import Stop
from fomo.stream import Stream
from fomo.version import __version__

FLOOR = 0.001
"""Share of the learning rate that schedules end at."""


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


@dataclass(frozen=True)
class Prepared:
    """A run whose every part is built and checked; nothing is written yet."""

    resolved: Resolved
    stream: Stream
    model: ClipModel
    methods: Methods
    plan: Plan
    begin_run: Phases
    maker: BatchMaker
    learning_rate: LearningRate

    @property
    def marks(self) -> list[str]:
        """What keeps the result from being compared freely."""
        validation = ["validation split"] if self.resolved.config.evaluation.split == "validation" else []
        return [*self.plan.budget.marks, *validation]

    @cached_property
    def stream_hashes(self) -> dict[str, str]:
        """Of the stream's definition, and of its data."""
        data = stream_data_sha256(self.stream, self.resolved.config.evaluation.split)
        return {"sha256": self.stream.sha256, "data_sha256": data}

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint has to share with the run that goes on from it."""
        return {
            "code": {"major version": __version__.split(".")[0]},
            "config": comparable(self.resolved.values),
            "stream": self.stream_hashes,
            "plan": {"steps": list(self.plan.steps)},
        }


def prepare(resolved: Resolved, kept_steps: tuple[int, ...] | None = None) -> Prepared:
    """Build and check everything before long work starts. The pocket's pictures are drawn here if need be.

    ``kept_steps`` are those of each task of a run that goes on: a budget of seconds would be timed anew without them.
    """
    config = resolved.config
    allow = config.runtime.allow_targets
    rate = _rate(config)
    methods = Methods(parts_of(config))
    model: ClipModel = build("model", config.model, allow)
    _try_optimizer(config, model)
    checkpoint_activations(model.network, config.runtime.grad_checkpointing)
    check_deterministic(model.network, config.runtime.micro_batch)
    model.network.to(config.runtime.device)
    given: dict[str, Any] = {"num_tasks": config.num_tasks, "seed": config.seed, "split": config.evaluation.split}
    stream: Stream = build("stream", config.stream, allow, **given)
    pools = StreamPools.of(stream, config.seed, config.buffer, config.captions)
    timed_before = kept_steps is not None and config.budget.unit == "wall_seconds"
    kept = Plan(config.budget, kept_steps or (), sizes=config.sizes)
    the_plan = kept if timed_before else plan_run(config, model, pools.update_sizes)
    if config.on_nan == "rewind":
        check_rewindable(the_plan)
    config.sizes.check_reached(sum(the_plan.steps))
    learning_rate = _learning_rate(config, rate, the_plan.steps)
    mixture = Mixture(config.seed, config.sizes, config.mixture, the_plan.steps)
    _check_pools(mixture, pools)
    for task, num_steps in enumerate(the_plan.steps, start=1):  # a schedule may refuse a task, at any end of it
        for step in {0, num_steps - 1} if num_steps else ():
            learning_rate(task, step, num_steps)
    methods.meter = meter = FlopMeter()
    methods.begin_run(model.network, config.seed)  # here, so that a part can refuse before anything is written
    maker = BatchMaker(mixture, pools, model.tokenize, model.image_size, config.augmentation)
    return Prepared(resolved, stream, model, methods, the_plan, meter.phases, maker, learning_rate)


def _try_optimizer(config: Config, model: ClipModel) -> None:
    """Let the optimizer refuse its settings, and the model's shapes, before anything long starts."""
    make = build("optimizer", config.optimizer, config.runtime.allow_targets)
    try:
        make(list(model.network.named_parameters()))
    except (TypeError, ValueError) as error:
        raise FomoError(f"optimizer: {error}.") from error


def _rate(config: Config) -> Callable[[Position], float]:
    """The schedule under its meta-schedule."""
    allow, base = config.runtime.allow_targets, config.optimizer.get("lr")
    if not isinstance(base, (int, float)) or not 0 < base < float("inf"):
        raise FomoError(f"optimizer.lr={base}: allowed are finite numbers above 0.")
    schedule, meta = build("schedule", config.schedule, allow), build("meta_schedule", config.meta_schedule, allow)
    return lambda at: float(meta(schedule, at))


def _learning_rate(config: Config, rate: Callable[[Position], float], steps: Sequence[int]) -> LearningRate:
    """The rate at each step of a run of ``steps`` steps a task, times what its batch makes of it."""
    peak, before = config.optimizer["lr"], [0, *accumulate(steps)]

    def learning_rate(task: int, step: int, num_steps: int) -> float:
        size = config.sizes.of(before[task - 1] + step)
        at = Position(task - 1, step, num_steps, peak, FLOOR * peak, size, ramped=bool(config.sizes.ramp))
        return config.batch_scaling.factor(size, config.batch_size) * rate(at)

    return learning_rate


def _check_pools(mixture: Mixture, pools: StreamPools) -> None:
    if mixture.weights.pretraining > 0 and pools.pretraining.size == 0:
        share = mixture.weights.pretraining
        raise FomoError(f"mixture.pretraining={share}, but the stream has no pretraining pool (stream.pool_size=0).")
    if mixture.weights.pretraining > 0:
        pools.pretraining.draw(0)  # a pool that cannot be read is refused before long work
    for task, num_steps in enumerate(mixture.steps, start=1):
        if num_steps and mixture.totals(task)[1] == 0 and mixture.weights.update > 0:
            mixed = mixture.weights.batches == "mixed"
            few = f"batch_size={mixture.sizes.first}" if mixed else f"task {task}: {num_steps} unmixed steps"
            way_out = "take a larger batch" if mixed else "take more steps"
            raise FomoError(f"{few}: no sample is left for mixture.update={mixture.weights.update}: {way_out}.")


def kept_steps(folder: Path) -> tuple[int, ...] | None:
    """The plan of the run in ``folder``, from its newest readable checkpoint."""
    for place in reversed(numbered(folder / CHECKPOINTS).values()):
        try:
            steps = read_identity(place)["plan"]["steps"]
        except (Damaged, LookupError, TypeError):
            continue
        if isinstance(steps, list) and all(map(is_count, steps)):
            return tuple(steps)
    return None


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
    config, stream, checkpoints = prepared.resolved.config, prepared.stream, folder / CHECKPOINTS
    found = latest(checkpoints, folder / "events.jsonl")
    check_resumable(folder, prepared.resolved, found is not None)
    if found:
        refuse_other(found, prepared.identity)
    else:
        start(folder, prepared.resolved)
    prepared.methods.work_in(folder / WORK)
    write_json(folder / "stream.json", stream.definition() | prepared.stream_hashes)
    header = scores_header(stream, config.evaluation.split, prepared.marks, prepared.stream_hashes)
    record = Record(folder, header, progress.step)
    ledger = Ledger(prepared.plan, config.seed, prepared.begin_run)
    usage = Usage(config.runtime.device)
    learner = learner_of(config, prepared.model.network, prepared.methods)
    guard = guard_of(config.on_nan, config.rewind_every, learner.network, learner.methods, ledger)
    batches = Batches(prepared.maker, prepared.model, config.runtime)
    saver = Saver(checkpoints, prepared.identity, config.checkpoint, found.place if found else None)
    keeper = Checkpoints(saver, stop, learner, batches, ledger, record, usage, guard, found)
    del found  # and with it a copy of all tensors
    evaluator = _evaluator(prepared, record, progress, usage, stop)
    experiment = _experiment(prepared, learner, batches, keeper, guard, evaluator)
    progress.planned(len(prepared.plan.steps), sum(prepared.plan.steps) - sum(ledger.steps), len(stream.datasets))
    try:
        run(experiment, ledger, record)
    except Stopped as stopped:
        saver.wait()
        raise keeper.told(stopped) from None
    except NotFinite as error:
        path = _save_batch(prepared, folder, error.task, error.step)
        raise FomoError(f"{error} Its batch, images as they were and tokens, is in {path}.") from None
    except MemoryFault as fault:
        saver.wait()
        sizes = tuple(prepared.maker.pools.update_sizes)
        raise explain(fault, Failed(config, prepared.model, prepared.methods, sizes, saver.newest)) from None
    finally:
        saver.wait()
        record.close()
    usage.stop()
    write_json(folder / "ledger.json", ledger.to_json())
    _save_weights(prepared, folder / WEIGHTS)
    write_report(folder)
    card = _card(prepared, folder, ledger, usage)
    write_json(folder / "card.json", card | {"marks": record.marks, "left_out": batches.left_out})
    saver.discard()


def _experiment(
    prepared: Prepared,
    learner: Learner,
    batches: Batches,
    keeper: Keeper,
    guard: Guard,
    evaluate: Callable[[int], None],
) -> Experiment:
    return Experiment(
        seed=prepared.resolved.config.seed,
        learner=learner,
        batches=batches,
        learning_rate=prepared.learning_rate,
        evaluate=evaluate,
        keeper=keeper,
        guard=guard,
    )


def _evaluator(
    prepared: Prepared, record: Record, progress: Progress, usage: Usage, stop: Stop
) -> Callable[[int], None]:
    config = prepared.resolved.config

    def score(task: int) -> None:
        def seen(dataset: str) -> None:
            stop.heed()  # what a signal raised may have been lost in a finaliser
            progress.evaluating(task, dataset)

        with usage.paused(), during("evaluation", task):
            result = evaluate(prepared.model, prepared.stream, config.evaluation, config.runtime, seen)
            record.evaluation(task, result)

    return score


def _save_batch(prepared: Prepared, folder: Path, task: int, step: int) -> Path:
    """Make the batch of a step again, and keep it."""
    raw, path = prepared.maker[(task, step)], folder / BAD_BATCH
    save_file({"images": raw.images.contiguous(), "tokens": raw.tokens}, path)
    return path


def _save_weights(prepared: Prepared, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with prepared.methods.deployed(prepared.model.network):
        final = {name: value.cpu().contiguous() for name, value in weights.folded(prepared.model.network).items()}
    scratch = path.with_name(f".{path.name}.partial")
    save_file(final, scratch)
    scratch.replace(path)


def _card(prepared: Prepared, folder: Path, ledger: Ledger, usage: Usage) -> dict[str, Any]:
    """Everything that depends on time and machine, and the hashes that the result rests on."""
    device = prepared.resolved.config.runtime.device
    cuda = device.startswith("cuda")
    return {
        "schema": "fomo.card/1",
        "label": prepared.resolved.config.label,
        "config_sha256": prepared.resolved.sha256,
        **{f"stream_{key}": value for key, value in prepared.stream_hashes.items()},
        "weights_sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        "ledger_sha256": hashlib.sha256((folder / "ledger.json").read_bytes()).hexdigest(),
        "scores_sha256": hashlib.sha256((folder / "scores.json").read_bytes()).hexdigest(),
        "weight_decay": _weight_decay(prepared.resolved.config),
        "seconds": round(usage.elapsed, 2),
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
        "num_threads": torch.get_num_threads(),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        "peak_memory_allocated_gib": round(torch.cuda.max_memory_allocated(device) / 2**30, 3) if cuda else None,
        "compute": _compute(prepared, ledger, usage),
        "versions": {name: version(name) for name in ("fomo-bench", "torch", "open_clip_torch", "numpy", "pillow")},
        "python": platform.python_version(),
    }


def _weight_decay(config: Config) -> dict[str, Any]:
    """How strong it is, and what it reaches: the papers' setting and the pocket's differ."""
    return {"strength": config.optimizer.get("weight_decay"), "reaches": config.optimizer.get("decay")}


def _compute(prepared: Prepared, ledger: Ledger, usage: Usage) -> dict[str, Any] | None:
    """Rates, MFU and HFU; ``None`` for a run that trained nothing."""
    config = prepared.resolved.config
    if not ledger.charged_flops:
        return None
    model_flops = ledger.charged_flops
    if config.runtime.grad_checkpointing or config.runtime.micro_batch:
        model_flops = without_recomputation(config, prepared.model, prepared.plan, prepared.maker.pools)
    best = peak(config.runtime.device, config.runtime.precision)
    rates = utilisation(ledger.charged_flops, model_flops, sum(ledger.samples.values()), usage.seconds, best)
    return {**rates, "energy_joules": usage.joules}
