"""AdamW whose moments are kept in eight bits, their range expanded: COAT (Xi et al. 2024, arXiv 2410.19313, section 4).

Both moments lie in E4M3, in groups of 128 entries of the flattened tensor. Of a group, M = max|x|, m = min|x| over what
is not zero, R = M/m, c = √(M·m):

    k = ⌊16·log₂(448²/2)/log₂R⌋/16,  z = sign(x)·(|x|/c)ᵏ,  s = (M/c)ᵏ/448,  kept: E4M3(z/s), and s, k, c in fp32;

back: x = sign(q)·|q·s|^(1/k)·c. A group of a small range, as second moments are, so uses all of the format's. A
parameter takes 2 + 2·12/128 = 2.19 bytes in place of 8. The step is AdamW's in fp32.

Differs: k is held between 1/16 and 16 (that of a group of equal entries has no end), c is √M·√m, which does not
underflow, and tensors of less than a group, as the temperature, stay in fp32, where they take less.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

import fomo
from methods.adam import DecoupledAdam, adam_direction
from methods.fp8 import LARGEST, check_there, decode, encode, in_groups
from methods.grouped import Groups, check_moments, over_groups

GROUP = 128
"""Entries that share s, k and c."""
AIMED = math.log2(LARGEST**2 / 2)
"""log₂ of the range that a group is expanded to."""
TINY = 1e-30
"""What the largest and the smallest entry are taken to be at least."""
MOMENTS = ("exp_avg", "exp_avg_sq")
WAY_OUT = "Take optimizer=adamw."


def pack(values: Tensor, expand: bool = True) -> dict[str, Tensor]:
    """What is kept of fp32 ``values`` [any]: ``codes`` [n] uint8, and of each group ``scale``, ``power``, ``centre``.

    Args:
        values: A moment; finite.
        expand: Whether to expand the range; else k is 1, which is plain E4M3 in groups.
    """
    rows = in_groups(values, GROUP)
    size = rows.abs()
    largest = size.amax(1, keepdim=True)
    smallest = torch.where(size == 0, torch.inf, size).amin(1, keepdim=True).minimum(largest) + TINY
    largest = largest + TINY
    centre = largest.sqrt() * smallest.sqrt()
    power = _power(largest, smallest) if expand else torch.ones_like(centre)
    scale = (largest / centre).pow(power) / LARGEST
    codes = encode(rows.sign() * (size / centre).pow(power) / scale)
    kept = {"codes": codes.view(-1)[: values.numel()].clone()}
    return kept | {"scale": scale.flatten(), "power": power.flatten(), "centre": centre.flatten()}


def _power(largest: Tensor, smallest: Tensor) -> Tensor:
    """k of each group, in sixteenths."""
    spread = largest.log2() - smallest.log2()
    return ((16 * AIMED / spread).floor() / 16).clamp(1 / 16, 16)


def unpack(kept: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
    """The fp32 values of ``shape`` that were packed."""
    rows = in_groups(decode(kept["codes"]), GROUP)
    scale, power, centre = (kept[name][:, None] for name in ("scale", "power", "centre"))
    found = rows.sign() * (rows.abs() * scale).pow(1 / power) * centre
    return found.view(-1)[: shape.numel()].view(shape)


class AdamWFP8(DecoupledAdam):
    """AdamW with packed moments.

    Args:
        params: Groups of parameters.
        lr: Learning rate η.
        expand: Whether ranges are expanded.
        settings: Those of :class:`DecoupledAdam`: ``weight_decay``, ``betas``, ``eps``.
    """

    only_whole = True
    """That the run is refused where weights are parted: groups go through whole tensors."""

    def __init__(self, params: Iterable[Any], lr: float, expand: bool = True, **settings: Any) -> None:
        self._expand = expand
        super().__init__(params, lr, **settings)

    def direction(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> Tensor:
        """AdamW's; the moments are whole in here alone."""
        state, betas, eps = self.state[parameter], group["betas"], group["eps"]
        if parameter.numel() < GROUP:
            return adam_direction(gradient, state, betas, eps)
        whole = {"step": state["step"]} if state else {}
        whole |= {name: unpack(_of(state, name), gradient.shape).to(gradient.dtype) for name in MOMENTS if state}
        direction = adam_direction(gradient, whole, betas, eps)
        state["step"] = whole["step"]
        for name in MOMENTS:
            packed = pack(whole[name].float(), self._expand)
            state.update({f"{name}.{part}": value for part, value in packed.items()})
        return direction


def _of(state: Mapping[str, Tensor], moment: str) -> dict[str, Tensor]:
    """What is kept of a moment."""
    prefix = f"{moment}."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


@over_groups
def adamw_fp8(
    grouped: Groups,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    expand: bool = True,
) -> torch.optim.Optimizer:
    """AdamW with moments in eight bits.

    Args:
        grouped: groups of what is trained.
        lr: learning rate η.
        betas: decay of the first and of the second moment, 0 to below 1.
        eps: ε, added to the root of the second moment.
        expand: whether the range of each group is expanded; else plain E4M3.

    Raises:
        FomoError: a setting out of range, a device without E4M3, or no tensor that would be packed: it would be AdamW.
    """
    check_moments(betas, eps)
    parameters = [parameter for group in grouped for parameter in group["params"]]
    for device in {parameter.device for parameter in parameters}:
        check_there(device, "optimizer=adamw_fp8", WAY_OUT)
    if not any(parameter.numel() >= GROUP for parameter in parameters):
        raise fomo.FomoError(
            f"optimizer=adamw_fp8: of what is trained, no tensor has {GROUP} entries, so that nothing would be packed. "
            f"Train more (trainable=full). {WAY_OUT}"
        )
    return AdamWFP8(grouped, lr=lr, betas=(betas[0], betas[1]), eps=eps, expand=expand)
