"""The optimizer of MKOR (``methods/mkor/__init__.py``): it listens to linear layers; another one takes the step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import fomo
from methods.mkor.inverses import UPDATES, Inputs, preconditioned, stabilised

KEPT_LOSS = 0.9
"""Share of the loss's moving average that a step keeps."""
NO_LAYER = (
    "optimizer=mkor: of what is trained, no linear layer has its weight and its bias, so that nothing would be "
    "preconditioned. Train whole layers (trainable=full), or take optimizer=adamw."
)


class MKOR(fomo.PeriodicOptimizer, fomo.ListeningOptimizer):
    """Preconditions the gradients of linear layers, and has ``base`` take the step.

    Args:
        base: A first-order optimizer, whose groups and state are this one's.
        update_every: Steps from one update of the inverses to the next.
        decay: γ.
        keep: ζ.
        bound: ε.
        update: A word in :data:`UPDATES`.
        min_fall: Share that the loss has to fall by in ``window`` steps; ``None``: MKOR without the switch.
        window: Steps.
    """

    def __init__(
        self,
        base: torch.optim.Optimizer,
        update_every: int = 10,
        decay: float = 0.9,
        keep: float = 0.95,
        bound: float = 2.0,
        update: str = "exact",
        min_fall: float | None = None,
        window: int = 50,
    ) -> None:
        super().__init__(base.param_groups, base.defaults)
        self._base = base
        self._share_state()
        self.refresh_every = update_every
        self._decay = decay
        self._keep = keep
        self._bound = bound
        self._update = UPDATES[update]
        self._min_fall = min_fall
        self._window = window
        self._layers: list[nn.Linear] = []
        self._inputs: dict[nn.Linear, Inputs] = {}
        self.param_groups[0]["num_steps"] = 0

    def _share_state(self) -> None:
        self.param_groups = self._base.param_groups
        self.state = self._base.state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state, the base's with the inverses in it."""
        self._base.load_state_dict(dict(state_dict))
        self._share_state()

    def listen(self, network: nn.Module) -> None:
        """Find the linear layers whose weight and bias are trained.

        Raises:
            FomoError: there are none.
        """
        own = {parameter for group in self.param_groups for parameter in group["params"]}
        for layer in network.modules():
            is_linear = isinstance(layer, nn.Linear) and not parametrize.is_parametrized(layer)
            if is_linear and own.issuperset(layer.parameters(recurse=False)) and layer.bias is not None:
                self._layers.append(layer)  # type: ignore[arg-type]  # it is one
        if not self._layers:
            raise fomo.FomoError(NO_LAYER)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Begin a step: where it updates the inverses, layers are listened to from here to :meth:`step`."""
        super().zero_grad(set_to_none)
        self._stop_listening()
        if self.param_groups[0]["num_steps"] % self.refresh_every == 0:
            self._inputs = {layer: Inputs(layer) for layer in self._layers}

    def _stop_listening(self) -> None:
        for inputs in self._inputs.values():
            inputs.leave()
        self._inputs = {}

    def hear(self, loss: Tensor) -> None:
        """The loss of a step, which the hybrid's switch looks at; on the device, nothing is read."""
        group = self.param_groups[0]
        if self._min_fall is None:
            return
        if "is_on" not in group:
            group |= {"loss": loss.clone(), "loss_before": loss.clone(), "is_on": torch.ones_like(loss)}
        group["loss"] = KEPT_LOSS * group["loss"] + (1 - KEPT_LOSS) * loss
        if group["num_steps"] and group["num_steps"] % self._window == 0:
            fallen = group["loss_before"] - group["loss"] >= self._min_fall * group["loss_before"].abs()
            group["is_on"] = group["is_on"] * fallen
            group["loss_before"] = group["loss"]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure is used
        """One step of the base on preconditioned gradients; parameters keep those that they had."""
        inverses = self._kept() | self._updated()
        group = self.param_groups[0]
        group["num_steps"] += 1
        given = {weight: weight.grad for weight in inverses if weight.grad is not None}
        for weight, gradient in given.items():
            found = preconditioned(gradient, *inverses[weight])
            weight.grad = torch.where(group["is_on"] > 0, found, gradient) if "is_on" in group else found
        self._base.step()
        for weight, gradient in given.items():
            weight.grad = gradient
        for weight, (left, right) in inverses.items():  # after the base, which begins where there is no state yet
            self.state[weight] |= {"left": left, "right": right}

    def _kept(self) -> dict[Tensor, tuple[Tensor, Tensor]]:
        """L⁻¹ and R⁻¹ by weight."""
        kept = {layer.weight: self.state.get(layer.weight, {}) for layer in self._layers}
        return {weight: (state["left"], state["right"]) for weight, state in kept.items() if "left" in state}

    def _updated(self) -> dict[Tensor, tuple[Tensor, Tensor]]:
        """L⁻¹ and R⁻¹ of the layers that were listened to, moved.

        Raises:
            FomoError: no layer was called.
        """
        means = {layer: inputs.mean() for layer, inputs in self._inputs.items()}
        was_listening = bool(self._inputs)
        self._stop_listening()
        if was_listening and all(mean is None for mean in means.values()):
            raise fomo.FomoError(f"{NO_LAYER} No such layer was called.")
        kept = self._kept()
        found = {}
        for layer, mean in means.items():
            if mean is not None and layer.bias.grad is not None:
                left, right = kept.get(layer.weight, (None, None))
                found[layer.weight] = (self._moved(left, layer.bias.grad), self._moved(right, mean))
        return found

    def _moved(self, inverse: Tensor | None, vector: Tensor) -> Tensor:
        before = torch.eye(len(vector), dtype=vector.dtype, device=vector.device) if inverse is None else inverse
        return self._update(stabilised(before, self._bound, self._keep), vector, self._decay)
