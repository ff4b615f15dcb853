"""Whether what a step or a hook makes is finite, and who made it not so."""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from fomo.errors import NotFinite

Fetch = Callable[[Sequence[Tensor]], list[float]]
"""Reads scalars on the host, in one transfer."""


def fetched(scalars: Sequence[Tensor]) -> list[float]:
    """Tensors without dimensions as numbers, in one transfer from the device; a part may have made some on the host."""
    there = next((scalar.device for scalar in scalars if scalar.device.type != "cpu"), torch.device("cpu"))
    values: list[float] = torch.stack([scalar.detach().to(there, torch.float32) for scalar in scalars]).tolist()
    return values


def largest(tensors: Iterable[Tensor]) -> Tensor:
    """The largest magnitude of all entries, a tensor without dimensions: NaN or infinite if one of them is.

    Tensors of integers, and empty ones, count as finite.
    """
    floats = [each.detach() for each in tensors if each.is_floating_point() and each.numel()]
    if not floats or any(each.device.type != "cpu" for each in floats):
        return nn.utils.get_total_norm(floats, norm_type=float("inf"))  # a few kernels for all
    kinds = {each.dtype for each in floats}
    ends = [end for each in floats for end in torch.aminmax(each)]  # on a CPU ten times as fast as that norm
    if len(kinds) > 1:
        kind = reduce(torch.promote_types, kinds)
        ends = [end.to(kind) for end in ends]
    return torch.stack(ends).abs().max()


class Scalars:
    """Scalars that have to be finite, in the order in which they were made; nobody waits for them until they are read.

    Args:
        fetch: Reads them.
    """

    def __init__(self, fetch: Fetch) -> None:
        self.values: dict[str, float] = {}
        self._unread: dict[str, Tensor] = {}
        self._fetch = fetch

    def note(self, name: str, scalar: Tensor) -> None:
        """Take in a scalar; ``name`` says what it is, and after what."""
        self._unread[name] = scalar

    def fault(self) -> str:
        """The first one that is not finite, and its value; empty if all are. Waits for the device."""
        read = dict(zip(self._unread, self._fetch(list(self._unread.values())), strict=True))
        self._unread = {}
        self.values |= read
        bad = [f"{name} is {value}" for name, value in read.items() if not abs(value) < float("inf")]
        return bad[0] if bad else ""


def check_weights(network: nn.Module, task: int, after: str) -> None:
    """Refuse a network that a hook has left with weights that are not finite.

    Raises:
        NotFinite: the first such weight or buffer, and ``after`` what.
    """
    name = not_finite(network)
    if name:
        raise NotFinite(task, None, f"'{name}' is not finite after {after}")


def not_finite(network: nn.Module) -> str:
    """The first entry of a network's state that is not finite; empty if there is none. Waits for the device.

    Buffers that are not of the state, such as an attention mask of -inf, are not looked at.
    """
    state = network.state_dict()
    if largest(state.values()).isfinite():
        return ""
    return next(name for name, value in state.items() if not largest([value]).isfinite())
