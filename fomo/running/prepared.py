"""A run with every part built and checked, before anything is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from fomo.budget.flops import FlopMeter, Phases
from fomo.budget.plan import Plan
from fomo.config.parts import build
from fomo.config.schema import Config, Resolved, comparable
from fomo.errors import FomoError
from fomo.evaluation.prompts import with_prompt_caveats
from fomo.loop import LearningRate
from fomo.model.clip import ClipModel, checkpoint_activations
from fomo.planning.planner import parts_of, plan_run
from fomo.position import Position
from fomo.stream.batches import BatchMaker
from fomo.stream.definition import Stream
from fomo.stream.fingerprint import stream_data_sha256
from fomo.stream.mixture import Mixture
from fomo.stream.pools import StreamPools
from fomo.training.methods import Methods
from fomo.training.micro_batches import check_deterministic
from fomo.training.nonfinite import check_rewindable
from fomo.version import __version__

FLOOR = 0.001
"""Share of the learning rate that schedules end at."""


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
        return [*self.plan.budget.marks, *validation, *self.model.caveats]

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
    rate, methods, model = _rate(config), Methods(parts_of(config)), _model(config)
    given: dict[str, Any] = {"num_tasks": config.num_tasks, "seed": config.seed, "split": config.evaluation.split}
    stream: Stream = build("stream", config.stream, config.runtime.allow_targets, **given)
    model = with_prompt_caveats(model, stream, config.evaluation)
    pools = StreamPools.of(stream, config.seed, config.buffer, config.captions)
    the_plan = _plan(config, model, pools, kept_steps)
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


def _model(config: Config) -> ClipModel:
    """The model on its device, once the optimizer agrees to its shapes."""
    model: ClipModel = build("model", config.model, config.runtime.allow_targets)
    _try_optimizer(config, model)
    checkpoint_activations(model.network, config.runtime.grad_checkpointing)
    check_deterministic(model.network, config.runtime.micro_batch)
    model.network.to(config.runtime.device)
    return model


def _plan(config: Config, model: ClipModel, pools: StreamPools, kept_steps: tuple[int, ...] | None) -> Plan:
    """The steps of every task, and whether the configuration goes with them."""
    if kept_steps is not None and config.budget.unit == "wall_seconds":
        planned = Plan(config.budget, kept_steps, sizes=config.sizes)
    else:
        planned = plan_run(config, model, pools.update_sizes)
    if config.on_nan == "rewind":
        check_rewindable(planned)
    config.sizes.check_reached(sum(planned.steps))
    return planned


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
