"""Whether what a step or a hook makes is finite, and who made it not so."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fomo.errors import FomoError, NotFinite
from fomo.system.magnitude import largest
from fomo.system.parted import is_parted, whole
from fomo.system.ranks import check_same, exchanged, world

OWN_ROWS = (
    "a part computes with the rows of its own process alone, or draws otherwise in each. Rows of all processes are "
    "fomo.gathered(rows), and batch.features has those of the features; draw from fomo.rng.generator alone. `fomo "
    "check --processes 2` tries it; one_process says in the class why it cannot be."
)
"""What is wrong where the processes of a run do not compute alike."""
LARGEST_PRIME = 2**24 - 3
"""Of those that float32 holds, with all numbers below."""
Fetch = Callable[[Sequence[Tensor]], list[float]]
"""Reads scalars on the host, in one transfer."""


def fetched(scalars: Sequence[Tensor]) -> list[float]:
    """Tensors without dimensions as numbers, in one transfer from the device; a part may have made some on the host."""
    there = next((scalar.device for scalar in scalars if scalar.device.type != "cpu"), torch.device("cpu"))
    plain = [whole(scalar.detach()).to(there, torch.float32) for scalar in scalars]
    values: list[float] = torch.stack(plain).tolist()
    return values


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
        if self._fetch is fetched:
            check_same(read, OWN_ROWS)
        self._unread = {}
        self.values |= read
        bad = [f"{name} is {value}" for name, value in read.items() if not abs(value) < float("inf")]
        return bad[0] if bad else ""


def check_weights(network: nn.Module, task: int, after: str) -> None:
    """Refuse a network that a hook has left with weights that are not finite, or other ones in every process.

    Raises:
        NotFinite: the first such weight or buffer, and ``after`` what.
        FomoError: the processes of the run differ.
    """
    name = not_finite(network)
    if name:
        raise NotFinite(task, None, f"'{name}' is not finite after {after}")
    check_alike(network.state_dict(), f"task {task}, after {after}")


def check_alike(tensors: Mapping[str, Tensor], when: str) -> None:
    """Refuse tensors of which the processes of a run have other bits each.

    Of a tensor in parts each rank has its own, and nothing to compare.

    Raises:
        FomoError: the first such tensor.
    """
    if world().size == 1:
        return
    plain = {name: value for name, value in tensors.items() if not is_parted(value)}
    own = {name: (int(_sum_of_bits(value)), tuple(value.shape)) for name, value in plain.items()}
    of_first, *others = exchanged(own)
    for rank, found in enumerate(others, start=1):
        names = [name for name in {**of_first, **found} if of_first.get(name) != found.get(name)]
        if names:
            raise FomoError(f"{when}: '{names[0]}' is not the same on ranks 0 and {rank}: {OWN_ROWS}")


def bits_of(tensors: Iterable[Tensor]) -> Tensor:
    """A number, without dimensions, that two processes have in common only if all bits of the tensors are the same.

    Of those in parts each has its own, and nothing to compare.
    It is a whole one that float32 can hold; of so many others one is taken for the same, by chance.
    """
    found = [torch.zeros((), dtype=torch.int64), *(_sum_of_bits(each) for each in tensors if not is_parted(each))]
    device = next((each.device for each in found if each.device.type != "cpu"), torch.device("cpu"))
    return _by_place(torch.stack([each.to(device) for each in found])).remainder(LARGEST_PRIME)


def _sum_of_bits(tensor: Tensor) -> Tensor:
    """A number, int64, of the bits of all entries and of where they are: rows that change places change it."""
    flat = tensor.detach().contiguous().reshape(-1)
    whole = {1: torch.uint8, 2: torch.int16}.get(flat.element_size(), torch.int32)
    bits = flat.view(whole).reshape(tensor.shape[0] if tensor.dim() and len(flat) else 1, -1)
    return _by_place(bits.sum(1, dtype=torch.int64)) + _by_place(bits.sum(0, dtype=torch.int64))


def _by_place(numbers: Tensor) -> Tensor:
    return (numbers * torch.arange(1, len(numbers) + 1, device=numbers.device)).sum()


def not_finite(network: nn.Module) -> str:
    """The first entry of a network's state that is not finite; empty if there is none. Waits for the device.

    Buffers that are not of the state, such as an attention mask of -inf, are not looked at.
    """
    state = network.state_dict()
    if largest(state.values()).isfinite():
        return ""
    return next(name for name, value in state.items() if not largest([value]).isfinite())
