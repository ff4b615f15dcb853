"""What the checks ask of tensors and names, and how they say that it is not so."""

import gc
import math
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, allclose

from fomo.testing.trial import State

LISTED = 3
Logged = Mapping[str, Sequence[float]]
"""The values that were logged by a name, in order."""


class CheckFailed(Exception):
    """A check failed; its text says why."""


def require_none(found: Mapping[str, Any] | Sequence[str], text: str) -> None:
    """Names that should not be there: the first ones are said."""
    names = list(found)
    if names:
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        raise CheckFailed(f"{text} {', '.join(names[:LISTED])}{more}".strip())


def require_finite(losses: Sequence[float], state: State) -> None:
    """Every loss and every entry is a number."""
    for step, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise CheckFailed(f"the loss is {loss} in step {step} of {len(losses)}")
    require_none([name for name, value in state.items() if not value.isfinite().all()], "not finite:")


def require_alike(base: State, state: State, where: str, shapes: bool = True) -> None:
    """Everything that was there, of the same types, and shapes where they are asked for; a part may add its own."""
    require_none(sorted(set(base) - set(state)), f"{where} lacks tensors:")
    for name, value in base.items():
        shape = list(state[name].shape) if shapes else list(value.shape)
        dtype = state[name].dtype
        if (shape, dtype) != (list(value.shape), value.dtype):
            raise CheckFailed(f"{where}: {name} is {dtype} {shape}, was {value.dtype} {list(value.shape)}")


IDLE = 1e-3
"""Share of what is usual in its table that a tensor is taken to have moved at least: a gradient that would be zero, as
that of keys' biases, is rounding alone, and whatever it makes is compared with what the others do."""


def unlike(one: State, other: State, base: State, most: float) -> dict[str, float]:
    """Names that are in one alone, or whose values differ by too much, and the share by which they do.

    Args:
        one: Tensors by name.
        other: The same from elsewhere.
        base: Where they have started; what it lacks has started at 0.
        most: The share of what a tensor has moved since then that it may differ by.
    """
    found = dict.fromkeys(set(one) ^ set(other), float("inf"))
    moved = {name: _moved(value, base.get(name.removesuffix(" as deployed"))) for name, value in one.items()}
    squares = {name: float(by.square().sum()) for name, by in moved.items()}
    of_table = defaultdict[str, float](float)
    entries = Counter[str]()
    for name, by in moved.items():
        of_table[_table(name)] += squares[name]
        entries[_table(name)] += len(by)
    for name in one.keys() & other.keys():
        usual = of_table[_table(name)] / max(1, entries[_table(name)]) * len(moved[name])
        off = float((one[name].double() - other[name].double()).norm())
        share = off / max(squares[name] ** 0.5, IDLE * usual**0.5, 1e-30)
        if not share <= most:
            found[name] = share
    return dict(sorted(found.items()))


def unlike_logged(one: Logged, other: Logged, most: float) -> list[str]:
    """Names that are in one alone, or whose values differ by more than the share ``most`` of the largest finite one."""
    either = sorted({**one, **other})
    return [name for name in either if not _near(one.get(name, ()), other.get(name, ()), most)]


def _near(one: Sequence[float], other: Sequence[float], most: float) -> bool:
    usual = max((abs(value) for value in one if math.isfinite(value)), default=0.0)
    first, second = torch.tensor(one), torch.tensor(other)
    return len(one) == len(other) and allclose(first, second, rtol=0, atol=most * usual, equal_nan=True)


def _moved(value: Tensor, start: Tensor | None) -> Tensor:
    """What a tensor has moved, as a vector."""
    is_known = start is not None and start.shape == value.shape
    return (value.double() - start.double() if is_known and start is not None else value.double()).reshape(-1)


def _table(name: str) -> str:
    """What a tensor is one of: the network, or a table of a part by parameter."""
    return name.rpartition("/")[0] if "/" in name else name if name.startswith("the method's") else ""


def close(one: Tensor, other: Tensor) -> bool:
    """Equal but for the rounding of a merge of equal weights."""
    reshaped = one.shape != other.shape  # which another check says
    return reshaped or allclose(one.float(), other.float(), rtol=1e-4, atol=1e-6)


def bytes_of(tensors: Any) -> int:
    """Bytes of distinct storages."""
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    return sum(storages.values())


@contextmanager
def memory_taken_since() -> Iterator[Callable[[], tuple[int, int]]]:
    """Gives what counts the bytes of the tensors that were made since, and live, and of Python's and NumPy's memory."""
    gc.collect()
    gc.freeze()
    tracemalloc.start()

    def taken() -> tuple[int, int]:
        gc.collect()
        tensors = bytes_of(each for each in gc.get_objects() if issubclass(type(each), Tensor))
        return tensors, tracemalloc.get_traced_memory()[0]

    try:
        yield taken
    finally:
        tracemalloc.stop()
        gc.unfreeze()
