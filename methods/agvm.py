"""AGVM: rates by module, so that the gradients of all are as noisy as that of an anchor (Xue et al. 2022, arXiv
2210.11078), for large batches.

With the gradients G¹ and G² of two halves of a batch, module i has Φ_i = η²(1 − cos(G¹_i, G²_i)), which grows with the
variance of its steps. Every τ steps

    μ_i ← αμ_i + (1 − α)·sqrt(Φ_1/Φ_i),  sqrt of clip((1 − cos_1 + 10⁻⁶)/(1 − cos_i + 10⁻⁶), 0.5, 10),

and module i learns at η·μ_i. Modules here: the image tower, which is the anchor 1, the text tower, and the projections
into the shared space; the temperature, in whose gradient rows have no share, learns at η.

The halves are of this batch, not two smaller batches, which would be another loss with fewer negatives: c_i are the
shares of rows in the gradient g (``methods/diagnostics/gradient_noise.py``), δ = Σc over the even rows − Σc over the
odd ones, and G¹, G² = g ± δ, so that what reaches weights beside features, as penalties do, is in both alike. What
differs besides: the ratio is clipped throughout, which the released code does around the end of the warm-up alone; it
starts at μ = 1 with the first step, not after the warm-up; with Adam too the gradients themselves are compared, not
those over the root of its second moment; factors are kept from task to task.

The step that an optimizer has made is multiplied by μ, weight decay with it. That is the rate η·μ for an optimizer
whose steps are in proportion to its rate, as those of all built-in ones are.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

import fomo
from methods.diagnostics.gradient_noise import dot, piece_of, rows_of, share
from methods.layer_rates import tower_of

MODULES = ("image", "text", "projections")
"""What has a factor of its own; that of the first, the anchor, is 1."""
PROJECTION = re.compile(r"^(visual\.(proj|head)|(text\.)?text_projection|text\.proj)\b")
"""Names of projections in open_clip's towers, and in those of timm and Hugging Face that it has."""
SMALL = 1e-6
"""What the released code adds to both sides of the ratio."""
WAY_OUT = "Leave modulation=agvm out."


def module_of(name: str) -> str:
    """The module of a parameter, one of :data:`MODULES`, or ``temperature``."""
    return "projections" if PROJECTION.match(name.replace("parametrizations.", "")) else tower_of(name)


def unlikeness(gradient: Sequence[Tensor], difference: Sequence[Tensor]) -> Tensor:
    """1 − cos(g + δ, g − δ), a tensor without dimensions; both by parameter."""
    square = dot(gradient, gradient) + dot(difference, difference)
    cross = 2 * dot(gradient, difference)
    lengths = (square + cross).clamp_min(0).sqrt() * (square - cross).clamp_min(0).sqrt()
    product = dot(gradient, gradient) - dot(difference, difference)
    return 1 - product / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)


def factor(anchor: Tensor, own: Tensor, lowest: float, highest: float) -> Tensor:
    """μ of a module from 1 − cos of the anchor and of its own."""
    return ((anchor + SMALL) / (own + SMALL)).clamp(lowest, highest).sqrt()


class AGVM(fomo.Method):
    """Multiplies the steps of the text tower and of the projections, and logs by what.

    Args:
        every: τ, steps from one measurement to the next; each learns from its batch a second time.
        keep: α, 0 to below 1.
        lowest: The least that the square of a measured factor is taken for, above 0.
        highest: The most.

    Raises:
        FomoError: a setting out of range.
    """

    def __init__(self, every: int = 10, keep: float = 0.97, lowest: float = 0.5, highest: float = 10.0) -> None:
        is_count = isinstance(every, int) and not isinstance(every, bool) and every >= 1
        _check(is_count, "every", every, "integers from 1")
        _check(0 <= keep < 1, "keep", keep, "numbers from 0 to below 1")
        _check(0 < lowest <= 1, "lowest", lowest, "numbers above 0 to 1")
        _check(1 <= highest < math.inf, "highest", highest, "finite numbers from 1")
        self.refresh_every = self._every = every
        self.keep = keep
        self.lowest = lowest
        self.highest = highest
        self._num_steps = 0
        self._scales = torch.ones(len(MODULES))
        self._forget()

    def _forget(self) -> None:
        self._batch: fomo.Batch | None = None
        self._reached: list[Tensor | None] = [None, None]
        self._before: dict[str, Tensor] = {}

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Refuse a network that does not encode a row twice alike, and one that has nothing to compare."""
        found = fomo.dropping(network)
        if found:
            raise fomo.FomoError(
                f"modulation=agvm: {found} at random, so that rows are not encoded twice alike. {WAY_OUT}"
            )
        self._scales = torch.ones(len(MODULES), device=next(network.parameters()).device)
        _by_module(network)

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Measure in the first step of the task."""
        _by_module(network)
        self._num_steps = 0
        self._autocast = task.autocast
        self._forget()

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss as it is; in a step that measures, the features are listened to for their gradient."""
        if self._num_steps % self._every == 0 and (self._batch is None or self._batch.images is not batch.images):
            if batch.num_rows < 2:
                raise fomo.FomoError(f"modulation=agvm: a batch of one row has no halves. Raise batch_size. {WAY_OUT}")
            assert batch.features is not None
            self._batch = replace(batch, features=None)
            for side, features in enumerate(batch.features[:2]):
                if features.requires_grad:
                    features.register_hook(partial(self._hear, side))
        return loss

    def _hear(self, side: int, gradient: Tensor) -> None:
        self._reached[side] = gradient

    def after_backward(self, network: nn.Module) -> None:
        """Measure, where it is time; keep the weights whose step is to be multiplied."""
        modules = _by_module(network)
        if self._batch is not None:
            self._measure(network, modules, self._batch)
        self._forget()
        for module in MODULES[1:]:
            self._before |= {name: p.detach().clone() for name, p in modules.get(module, {}).items()}

    def _measure(self, network: nn.Module, modules: Mapping[str, dict[str, nn.Parameter]], batch: fomo.Batch) -> None:
        named = {name: parameter for of_module in modules.values() for name, parameter in of_module.items()}
        difference = dict(zip(named, self._difference(network, list(named.values()), batch), strict=True))
        found = {
            module: unlikeness([_or_zero(p.grad, p) for p in of_module.values()], [difference[n] for n in of_module])
            for module, of_module in modules.items()
        }
        one = torch.ones_like(self._scales[0])
        measured = [
            factor(found[MODULES[0]], found[module], self.lowest, self.highest) if module in found else one
            for module in MODULES
        ]
        self._scales = self.keep * self._scales + (1 - self.keep) * torch.stack(measured).to(self._scales)
        for module, scale in zip(MODULES[1:], self._scales[1:], strict=True):
            if module in found:
                self.log(module, scale)

    def _difference(self, network: nn.Module, parameters: list[nn.Parameter], batch: fomo.Batch) -> list[Tensor]:
        """δ by parameter: the shares of the even rows less those of the odd ones."""
        reached = fomo.averaged(self._reached)
        pieces = [
            piece_of(batch, rows, [each if each is None else sign * each for each in reached])
            for sign, rows in zip((1, -1), rows_of(batch.num_rows, 2, None), strict=True)
        ]
        even, odd = (share(network, parameters, self._autocast, piece) for piece in pieces)
        of_each = zip(even, odd, parameters, strict=True)
        return [_or_zero(one, p) + _or_zero(other, p) for one, other, p in of_each]

    def after_step(self, network: nn.Module) -> None:
        """Multiply the step; a factor of 1 leaves every bit of it."""
        self._num_steps += 1
        parameters = dict(network.named_parameters())
        with torch.no_grad():
            for name, before in self._before.items():
                scale = self._scales[MODULES.index(module_of(name))]
                parameters[name].copy_(torch.lerp(before, parameters[name], scale.to(before.dtype)))
        self._forget()

    def state_dict(self) -> dict[str, Tensor]:
        """μ of each module, and the steps of the task so far."""
        return {"scales": self._scales, "num_steps": torch.tensor(self._num_steps)}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on from factors and steps."""
        self._scales = state["scales"].to(next(network.parameters()).device, copy=True)
        self._num_steps = int(state["num_steps"])


def _or_zero(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if gradient is None else gradient


def _by_module(network: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """What is trained, by module and name; without the temperature.

    Raises:
        FomoError: nothing of the image tower is trained, or nothing else.
    """
    found: dict[str, dict[str, nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        module = module_of(name)
        if parameter.requires_grad and module in MODULES:
            found.setdefault(module, {})[name] = parameter
    if MODULES[0] not in found or len(found) == 1:
        which = " and ".join(found) or "nothing of the towers"
        raise fomo.FomoError(
            f"modulation=agvm: of the image tower and what is compared with it, {which} alone is trained. Train both "
            f"towers, as trainable=full does. {WAY_OUT}"
        )
    return found


def _check(is_allowed: bool, key: str, value: object, allowed: str) -> None:
    if not is_allowed:
        raise fomo.FomoError(f"modulation.{key}={value}: allowed are {allowed}.")
