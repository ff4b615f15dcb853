"""The one place that builds: from a configuration to model, method, optimizer, learning rate, stream and batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from fomo.budget.plan import StepPlan
from fomo.config.plugins import PARTS, check_method, described
from fomo.config.refusals import check_made, check_pools, measured_by, peak
from fomo.config.schema import Config
from fomo.config.several import parts_of
from fomo.config.step_rates import StepRates
from fomo.config.targets import blamed, bound
from fomo.errors import FomoError
from fomo.loggers.logger import Logger
from fomo.loop import LearningRate
from fomo.method import ListeningOptimizer, Method, period_of
from fomo.model import fast
from fomo.model.clip import ClipModel
from fomo.model.recomputing import recompute
from fomo.position import Position
from fomo.results.config_file import LATER
from fomo.stream.batches import BatchMaker
from fomo.stream.definition import Stream
from fomo.stream.mixture import Mixture
from fomo.stream.plan import StreamPlan
from fomo.stream.pools import StreamPools
from fomo.system.ranks import is_first, world
from fomo.training.fully_sharded import FullySharded
from fomo.training.methods import Methods
from fomo.training.micro_batches import check_deterministic
from fomo.training.partable import check_optimizer, check_partable
from fomo.training.rates import with_scales
from fomo.training.spread import Spread
from fomo.training.step import Learner, MakeOptimizer


def build(
    section: str,
    node: Mapping[str, Any],
    allow: tuple[str, ...] = (),
    optional: Mapping[str, Any] | None = None,
    **given: Any,
) -> Any:
    """The object that a configured part describes; with ``_partial_`` what makes it.

    Args:
        section: The group, for messages.
        node: ``_target_`` and its keys.
        allow: Packages that the user trusts besides ours and installed plug-ins.
        optional: Arguments that are added where the target takes them.
        given: Arguments that are added.

    Raises:
        FomoError: the target is not allowed or not found, a key does not fit, or its code fails.
    """
    make = bound(section, node, allow, optional or {}, given)
    if node.get("_partial_"):
        return make
    try:
        return make()
    except FomoError:
        raise
    except Exception as error:  # whatever a plug-in's code raises
        raise blamed(section, node, make.func, error) from error


def _build(config: Config, section: str, **given: Any) -> Any:
    return build(section, getattr(config, section), config.runtime.allow_targets, **given)


def _model_node(config: Config) -> dict[str, Any]:
    """What describes the model; a folder or width that nobody names is not asked of a target that knows of none."""
    unnamed = LATER["model"].items()
    return {k: value for k, value in config.model.items() if (k, value) not in unnamed or isinstance(value, bool)}


def model(config: Config, random: bool = False) -> ClipModel:
    """The configured model on its device.

    Args:
        config: Says which model, and how it computes.
        random: Take random weights where the real ones are not shipped, so that nothing is downloaded.

    Raises:
        FomoError: the model is not there, or cannot compute as ``runtime`` asks.
    """
    node = _model_node(config)
    if random:
        node = {key: None if key == "pretrained" else value for key, value in node.items() if key != "folder"}
        node |= {"initial": True} if "width" in node else {}  # no weights ship of a width that is named
    built: ClipModel = build("model", node, config.runtime.allow_targets)
    _say_range(built)
    recompute(built.network, config.runtime.grad_checkpointing)
    check_deterministic(built.network, config.runtime.micro_batch)
    built.network.to(config.runtime.device)
    fast.quicken(built.network)
    if config.runtime.compile:
        fast.compile_blocks(built.network)
    return built


def model_shapes(config: Config) -> ClipModel:
    """The configured model without its weights; a plug-in's builder that cannot do without returns them too."""
    built: ClipModel = build("model", _model_node(config), config.runtime.allow_targets, optional={"shapes_only": True})
    _say_range(built)
    recompute(built.network, config.runtime.grad_checkpointing)
    return built


def _say_range(built: ClipModel) -> None:
    """Have the image tower say how its images are normalised, as open_clip's own do; a part sees the network alone."""
    tower: Any = built.network.visual
    tower.image_mean = built.preprocess.mean
    tower.image_std = built.preprocess.std


def methods(config: Config) -> Methods:
    """Fresh parts of the configured method, in the order in which their hooks are called.

    Raises:
        FomoError: a part is no ``fomo.Method``, or has hooks that cannot be called; none decides the sizes of a ladder.
    """
    nodes = {name: node for group in PARTS for name, node in parts_of(group, getattr(config, group)).items()}
    parts: dict[str, Method] = {name: build(name, node, config.runtime.allow_targets) for name, node in nodes.items()}
    for name, part in parts.items():
        check_method(type(part), f"{name}._target_ = {nodes[name]['_target_']}")
    found = Methods(parts)
    measured_by(config.batch_ladder, found)
    return found


def loggers(config: Config) -> dict[str, Logger]:
    """What shows the run elsewhere, by the section that configures it: ``log``, or ``log.NAME`` of several.

    Of several processes of a run the first one has them.

    Raises:
        FomoError: one is no logger, or lacks its package.
    """
    made: dict[str, Logger] = {}
    for name, node in parts_of("log", config.log).items() if is_first() else ():
        made[name] = build(name, node, config.runtime.allow_targets)
        if not isinstance(made[name], Logger):
            raise FomoError(f"{name}._target_ = {node['_target_']}: expected is a subclass of fomo.Logger.")
    return made


def make_optimizer(config: Config) -> MakeOptimizer:
    """What makes a fresh optimizer over named parameters, whose groups keep the ratio of their rates to the peak."""
    make = _build(config, "optimizer")
    rate = peak(config)

    def made(named: list[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        optimizer = make(named)
        check_made(config, optimizer)
        return with_scales(optimizer, rate)

    return made


def try_optimizer(config: Config, network: nn.Module) -> None:
    """Let the optimizer refuse its settings, and the model's shapes, before anything long starts.

    Raises:
        FomoError: it does.
    """
    try:
        make_optimizer(config)(list(network.named_parameters()))
        check_optimizer(spread(config), make_optimizer(config), network)
    except FomoError:
        raise
    except Exception as error:  # whatever a guest's code raises
        raise FomoError(f"optimizer: {described(error)}.") from error


def try_steps(config: Config, network: nn.Module, parts: Methods) -> None:
    """Let an optimizer that listens to layers refuse those that are trained, once the parts have begun the run; and
    refuse parts whose periods are not its.

    Raises:
        FomoError: it does.
    """
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    optimizer = make_optimizer(config)(trained) if trained else None
    if optimizer:
        period_of(optimizer, parts.parts)
    if isinstance(optimizer, ListeningOptimizer):
        optimizer.listen(network)


def learner(config: Config, network: nn.Module, parts: Methods | None = None) -> Learner:
    """What takes the steps of a run, on the device at hand; with fresh parts where none are given."""
    return Learner(
        network=network,
        methods=methods(config) if parts is None else parts,
        make_optimizer=make_optimizer(config),
        max_grad_norm=config.max_grad_norm,
        max_logit_scale=config.max_logit_scale,
        autocast=config.runtime.autocast,
        micro_batch=config.runtime.micro_batch,
        spread=spread(config),
    )


def check_strategy(config: Config, parts: Methods) -> None:
    """Refuse parts that cannot take steps as ``runtime.strategy`` has them taken.

    Raises:
        FomoError: a part, or one process alone, cannot.
    """
    check_partable(spread(config), parts.parts)


def spread(config: Config) -> Spread:
    """How the ranks of a run take a step together."""
    if config.runtime.strategy == "ddp":
        return Spread()
    in_half = config.runtime.precision == "bf16" and config.runtime.device.startswith("cuda")
    return FullySharded(torch.bfloat16 if in_half else None)


def schedule(config: Config) -> Callable[[Position], float]:
    """The learning-rate schedule under its meta-schedule, a function of the position.

    Raises:
        FomoError: ``optimizer.lr`` is not a finite number above 0.
    """
    peak(config)
    within_task = _build(config, "schedule")
    across_tasks = _build(config, "meta_schedule")
    return lambda at: float(across_tasks(within_task, at))


def learning_rate(config: Config, rate: Callable[[Position], float], plan: StepPlan) -> LearningRate:
    """The rate at each step of a run: the schedule's, times what the size of the step's batch makes of it.

    Args:
        config: Holds the peak rate, and what it is at which batch size.
        rate: The schedule, from :func:`schedule`.
        plan: Holds the number of steps of every task, and the batch sizes.

    Raises:
        FomoError: the schedule refuses a task, at either end of it.
    """
    rates = StepRates(config, rate, plan)
    for task, num_steps in enumerate(plan.steps, start=1):
        for step in {0, num_steps - 1} if num_steps else ():
            rates(task, step, num_steps)
    return rates


def stream_plan(config: Config) -> StreamPlan:
    """The plan of the stream, which is asked for what it is to hold before its data is there.

    Raises:
        FomoError: ``stream._target_`` returns something else.
    """
    seed = config.stream.get("seed")
    node = {key: value for key, value in config.stream.items() if key != "seed"}
    plan = build("stream", node, config.runtime.allow_targets, {} if seed is None else {"seed": seed})
    if not isinstance(plan, StreamPlan):
        raise FomoError(
            f"stream._target_ = {config.stream['_target_']} returned a {type(plan).__name__}: expected is a "
            "fomo.stream.plan.StreamPlan. Return the plan of the stream; what runs the stream opens it."
        )
    return plan


def stream(config: Config) -> Stream:
    """The stream with its data. The pocket's images are drawn here if need be."""
    return stream_plan(config).open(config.num_tasks, config.stream_seed, config.evaluation.split)


def pools(config: Config, of: Stream) -> StreamPools:
    """What batches are drawn from: P, and D_t and B of every task."""
    return StreamPools.of(of, config.seed, config.buffer, config.captions)


def batch_maker(config: Config, clip: ClipModel, drawn_from: StreamPools, steps: Sequence[int]) -> BatchMaker:
    """What makes the batches of a run of ``steps`` steps a task.

    Raises:
        FomoError: the mixture asks for samples of a pool that has none.
    """
    mixture = Mixture(config.seed, config.sizes, config.mixture, tuple(steps))
    check_pools(mixture, drawn_from)
    return BatchMaker(mixture, drawn_from, clip.tokenize, clip.image_size, config.augmentation, world())
