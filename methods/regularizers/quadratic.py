"""Quadratic penalties Σ Ω (θ − θ*)² over the parameters that are trained, and the plainest one: L2 to a start.

With adapters, the parameters are the adapter's: what is frozen cannot move. An anchor in them means nothing once a
merge has folded the adapter and a new one has started; that combination is refused.
"""

import math
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import fomo
from methods.lora import Adapters
from methods.trained import trained as trained_of

ANCHORS = ("run", "task")
RESTARTED = (
    "regularizer: it holds parameters to where they were, and the merge folds the adapters after each task, whose "
    "parameters then start anew. Take regularizer=l2 with regularizer.anchor=task, a trainable without adapters, or a "
    "merging whose next task starts from the latest weights."
)


trained = partial(trained_of, group="regularizer", why="nothing can be regularised")
"""The parameters of a network that require a gradient, by name; an error if there are none."""


def copies(network: nn.Module) -> fomo.Weights:
    """A copy of every parameter that requires a gradient, by name; an error if there is none."""
    return {name: parameter.detach().clone() for name, parameter in trained(network).items()}


def on_host(tensors: Mapping[str, Tensor]) -> fomo.Weights:
    """Copies in the host's memory, where tables lie between their uses, as in the code of Roth et al. 2024."""
    with fomo.host_memory():
        return {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}


def beside(value: Tensor, parameter: Tensor) -> Tensor:
    """A copy of what the host keeps for a parameter, on its device, in parts where it is parted."""
    return fomo.part_of(value, parameter).to(parameter.device, copy=True)


def quadratic(parameters: Mapping[str, Tensor], anchor: fomo.Weights, importance: fomo.Weights | None = None) -> Tensor:
    """Σ Ω (θ − θ*)², a tensor without dimensions.

    Args:
        parameters: θ by name, with gradient; may hold more than ``anchor``.
        anchor: θ* by name; the sum goes over these names.
        importance: Ω by name, each in the shape of its parameter; ``None`` is 1 everywhere.
    """
    found: Tensor = _Quadratic.apply(anchor, importance, *(parameters[name] for name in anchor))
    return found


class _Quadratic(torch.autograd.Function):
    """One parameter after the other, so that of the tables one tensor at a time is on the device; its gradient
    2Ω(θ − θ*) is worked out on the way, once. It has no derivative of its own."""

    @staticmethod
    def forward(ctx: Any, anchor: fomo.Weights, importance: fomo.Weights | None, *parameters: Tensor) -> Tensor:
        terms = []
        ctx.gradients = []
        for name, parameter in zip(anchor, parameters, strict=True):
            moved = parameter.detach() - beside(anchor[name], parameter)
            weighted = moved if importance is None else beside(importance[name], parameter).mul_(moved)
            terms.append((weighted * moved).sum())
            ctx.gradients.append(weighted.mul_(2))
        return fomo.total(terms)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.gradients
        ctx.gradients = None
        return None, None, *(each.mul_(gradient) for each in gradients)


def at_least(key: str, value: float, smallest: float) -> None:
    """Refuse a ``value`` of the setting ``key`` that is below ``smallest`` or not finite."""
    if not smallest <= value < math.inf:
        raise fomo.FomoError(f"regularizer.{key}={value}: allowed are finite numbers from {smallest}.")


def above_zero(key: str, value: float) -> None:
    """Refuse a ``value`` of the setting ``key`` that is 0, negative or not finite."""
    if not 0 < value < math.inf:
        raise fomo.FomoError(f"regularizer.{key}={value}: allowed are finite numbers above 0.")


class Kept(fomo.Method):
    """A part that keeps tensors by parameter, in the named tables ``kept``; all of them are its state."""

    on_host: tuple[str, ...] = ()
    """The tables that lie in the host's memory."""

    def __init__(self, *tables: str) -> None:
        self.kept: dict[str, fomo.Weights] = {table: {} for table in tables}

    def part(self, table: str, network: nn.Module) -> dict[str, nn.Parameter]:
        """Have of a table what each process holds of the parameters that are trained, which are returned."""
        parameters = trained(network)
        self.kept[table] = {name: fomo.part_of(value, parameters[name]) for name, value in self.kept[table].items()}
        return parameters

    def make_whole(self, table: str, network: nn.Module) -> None:
        """Have all of a table in every process again, in the shapes of the parameters."""
        parameters = trained(network)
        self.kept[table] = {n: fomo.whole(value).view_as(parameters[n]) for n, value in self.kept[table].items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor of every table, as ``table/parameter``."""
        return {f"{table}/{name}": v for table, values in self.kept.items() for name, v in values.items()}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Replace the tables by those of ``state``, copied to where they lie: the network's device, or the host."""
        device = next(network.parameters()).device
        self.kept = {table: {} for table in self.kept}
        for key, value in state.items():
            table, name = key.split("/", 1)
            if table in self.on_host:
                self.kept[table] |= on_host({name: value})
            else:
                self.kept[table][name] = value.detach().to(device, copy=True)


class Quadratic(Kept):
    """Adds ``factor`` · Σ Ω (θ − θ*)² to the loss once there is an anchor θ*.

    θ* is the table ``anchor``; Ω is the table ``importance``, or 1 if a subclass has no such table.
    """

    parted_weights = True
    on_host = ("anchor", "importance", "start")

    def __init__(self, factor: float, *tables: str) -> None:
        super().__init__("anchor", *tables)
        self.factor = factor
        self._anchored: dict[str, weakref.ref[nn.Parameter]] = {}

    def anchor(self, network: nn.Module) -> None:
        """Set θ* to the network's weights."""
        self.kept["anchor"] = on_host(trained(network))
        self._anchored = {name: weakref.ref(parameter) for name, parameter in trained(network).items()}

    def beside(self, parts: Sequence[fomo.Method]) -> None:
        """Refuse adapters that a merge folds after each task: new ones start elsewhere than θ*."""
        if any(isinstance(part, Adapters) for part in parts) and any(part.restarts_adapters for part in parts):
            raise fomo.FomoError(RESTARTED)

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Refuse a network of which nothing is trained, before anything long starts."""
        trained(network)

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Refuse a network whose parameters are others than those that θ* was taken of, whatever replaced them."""
        now = trained(network)
        if any(name not in now or now[name] is not anchored() for name, anchored in self._anchored.items()):
            raise fomo.FomoError(RESTARTED)

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss so far, with ``factor`` · Σ Ω (θ − θ*)² added if there is an anchor."""
        if not self.kept["anchor"]:
            return loss
        parameters = dict(network.named_parameters())
        return loss + self.factor * quadratic(parameters, self.kept["anchor"], self.kept.get("importance"))


class L2(Quadratic):
    """λ/2 · ‖θ − θ₀‖², θ₀ being the weights at the start of the run, or of each task (``anchor="task"``).

    The start of the run is what the benchmark asks to retain; that of the task is weight consolidation (L2-SP, Li et
    al. 2018, arXiv 1802.01483, has the former).
    """

    def __init__(self, strength: float = 0.1, anchor: str = "run") -> None:
        at_least("strength", strength, 0)
        if anchor not in ANCHORS:
            raise fomo.unknown("value of regularizer.anchor", anchor, ANCHORS)
        super().__init__(strength / 2)
        self.each_task = anchor == "task"

    def beside(self, parts: Sequence[fomo.Method]) -> None:
        """Refuse adapters that a merge folds, unless the anchor is the start of each task, where new ones start too."""
        if not self.each_task:
            super().beside(parts)

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Set θ* to the weights that the first task, or each task, starts from."""
        if self.each_task or not self.kept["anchor"]:
            self.anchor(network)
        super().begin_task(network, task)
