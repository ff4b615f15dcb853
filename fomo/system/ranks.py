"""The processes that take one run's steps together, as ``torchrun`` starts them: its ranks. A process of its own is one
of one, and everything here is then the identity.

Of the rows of a batch rank r of N takes r, r + N, r + 2N, …, so that each has its share of every pool. All ranks do the
same in the same order: what one is asked to exchange, all are. Transport is torch.distributed: NCCL between GPUs, gloo
between hosts' memories.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist

from fomo.errors import FomoError, RankLost, Stopped
from fomo.system.signals import stopped_by
from fomo.system.text import first_line

AGREED = 1e-5
"""By what share values may differ that all ranks compute, where algorithms are not deterministic; else by nothing."""
Value = TypeVar("Value")


class World(NamedTuple):
    """Which of a run's processes this is, from 0, and how many there are."""

    rank: int = 0
    size: int = 1

    def rows(self, num_rows: int) -> slice:
        """Those of ``num_rows`` that are this rank's."""
        return slice(self.rank, num_rows, self.size)

    def share(self, counts: Sequence[int]) -> tuple[int, ...]:
        """How many rows of each pool are this rank's, of a batch that has the pools' rows one after the other."""
        found = []
        before = 0
        for count in counts:
            found.append(len(range(before + count)[self.rows(before + count)]) - len(range(before)[self.rows(before)]))
            before += count
        return tuple(found)


ALONE = World()
"""A process of its own."""
_alone = False
_store: Any = None


def world() -> World:
    """The ranks of the run at hand; one of one within :func:`alone`."""
    if _alone or not dist.is_initialized():
        return ALONE
    return World(dist.get_rank(), dist.get_world_size())


def is_first() -> bool:
    """Whether this is the rank that writes files and speaks."""
    return world().rank == 0


@contextmanager
def alone() -> Iterator[None]:
    """While open, this process computes as if it were the only one."""
    global _alone
    before = _alone
    _alone = True
    try:
        yield
    finally:
        _alone = before


def keep(store: Any) -> None:
    """Have a store, which all ranks share, for what they tell one another beside their exchanges."""
    global _store
    _store = store


def is_first_to_tell() -> bool:
    """Whether no rank has told yet why the run ends; from then on one has."""
    try:
        return _store is None or bool(_store.add("told", 1) == 1)
    except RuntimeError:  # whoever kept the store is gone
        return True


def note_stop(number: int) -> None:
    """Let the ranks that miss this one know that a signal has ended it."""
    try:
        if _store is not None:
            _store.set("stopped", str(number))
    except RuntimeError:  # whoever kept the store is gone
        return


def _stop() -> int:
    """The number of the signal that has ended another rank; 0: none has, as far as is known."""
    try:
        return int(_store.get("stopped")) if _store is not None and _store.check(["stopped"]) else 0
    except RuntimeError:
        return 0


class _Failed(NamedTuple):
    """Sent by a rank that cannot go on, in place of what the others exchange; ``stop``: the number of a signal."""

    what: str
    stop: int = 0


class _Left(NamedTuple):
    """Exchanged at the end of a block that all ranks leave together."""

    what: str


def exchanged(value: Value) -> list[Value]:
    """What each rank gives, in their order; values that can be pickled.

    Raises:
        RankLost: another rank says instead that it cannot go on.
        Stopped: another rank says that a signal has come to it.
        FomoError: another rank is at another place of the program.
    """
    if world().size == 1:
        return [value]
    found = _all_of(value)
    for rank, each in enumerate(found):
        if isinstance(each, _Failed) and each.stop:
            raise stopped_by(each.stop)
        if isinstance(each, _Failed):
            raise RankLost(f"rank {rank} could not go on ({each.what}): its error says why.", told=True)
    _check_places([each.what if isinstance(each, _Left) else "" for each in found])
    return found


def _check_places(places: Sequence[str]) -> None:
    """Refuse to take for an answer what another rank has said of something else."""
    other = next((rank for rank, place in enumerate(places) if place != places[0]), None)
    if other:
        raise FomoError(
            f"ranks 0 and {other} do not do the same: one of them is where {places[0] or places[other]}. Whatever a "
            "part exchanges or writes (fomo.gathered, fomo.averaged, fomo.file_beside) every rank has to."
        )


def _all_of(value: Any) -> list[Any]:
    found: list[Any] = [None] * world().size
    with talking():
        dist.all_gather_object(found, value)
    return found


def own_share(by_rank: Sequence[Any]) -> Any:
    """Of numbers that as many ranks gave, this one's; of others, which have left together, an equal part."""
    here = world()
    return by_rank[here.rank] if len(by_rank) == here.size else type(by_rank[0])(sum(by_rank) / here.size)


def from_first(make: Callable[[], Value]) -> Value:
    """What rank 0 makes, on all ranks; the others wait for it.

    Raises:
        FomoError: rank 0 has raised it; on the others :class:`fomo.errors.RankLost`.
    """
    made: list[Value] = []
    with together("rank 0 looks at the run's folder"):
        if is_first():
            made.append(make())
    return exchanged(made)[0][0]


@contextmanager
def together(what: str, asked: Callable[[], int] | None = None) -> Iterator[None]:
    """A block that all ranks have to leave without an error; if one does not, all end, and that one says why.

    Args:
        what: What is done, for the message.
        asked: The number of the signal that has ended the block. With it the ranks leave the block together after one;
            otherwise who hears a signal does not wait for the others.

    Raises:
        FomoError: on a rank that has failed, its error; on the others :class:`fomo.errors.RankLost`.
        Stopped: with ``asked``, on all ranks.
    """
    try:
        yield
    except RankLost:
        raise
    except FomoError:
        if world().size > 1:
            _all_of(_Failed(what))
        raise
    except Stopped:
        if asked and world().size > 1:
            _all_of(_Failed(what, asked()))
        raise
    exchanged(_Left(what))


def agreed(values: Sequence[float]) -> list[list[float]]:
    """The numbers of every rank, [ranks][n]; all give as many."""
    here = world()
    mine = torch.tensor(list(values), dtype=torch.float64)
    if here.size == 1:
        return [list(values)]
    found = [torch.empty_like(mine) for _ in range(here.size)]
    with talking():
        dist.all_gather(found, mine)
    return [each.tolist() for each in found]


def check_same(values: Mapping[str, float], why: str) -> None:
    """Refuse numbers that every rank should have computed alike.

    Args:
        values: By name.
        why: What is wrong where they differ, as a sentence.

    Raises:
        FomoError: two ranks differ; the first such value is named.
    """
    if world().size == 1 or not values:
        return
    by_rank = agreed(list(values.values()))
    for name, found in zip(values, zip(*by_rank, strict=True), strict=True):
        other = next((rank for rank, value in enumerate(found) if not _alike(found[0], value)), None)
        if other:
            raise FomoError(f"{name} is {found[0]!r} on rank 0 and {found[other]!r} on rank {other}: {why}")


def check_same_named(values: Mapping[str, float], why: str) -> None:
    """As :func:`check_same`, of numbers that a rank may have given other names than another has.

    Raises:
        FomoError: two ranks differ; the first such value is named.
    """
    of_first, *others = exchanged(dict(values))
    for rank, found in enumerate(others, start=1):
        for name in [*of_first, *found]:
            one, other = of_first.get(name), found.get(name)
            if one is None or other is None or not _alike(one, other):
                raise FomoError(f"{name} is {_shown(one)} on rank 0 and {_shown(other)} on rank {rank}: {why}")


def _shown(value: float | None) -> str:
    return "not there" if value is None else repr(value)


def _alike(one: float, other: float) -> bool:
    if torch.are_deterministic_algorithms_enabled():
        return one == other or (one != one and other != other)
    both_odd = not (abs(one) < float("inf") or abs(other) < float("inf"))
    return both_odd or abs(one - other) <= AGREED * max(abs(one), abs(other))


def largest_of(values: Sequence[float]) -> list[float]:
    """The largest of what the ranks give, one by one."""
    return [max(each) for each in zip(*agreed(values), strict=True)]


@contextmanager
def talking() -> Iterator[None]:
    """While open, a connection that breaks is the end of the run, and no fault of this rank.

    Raises:
        RankLost: it has.
        Stopped: it has, for a signal has ended another rank.
    """
    try:
        yield
    except RuntimeError as error:
        raise lost(error) or error from None


LOST = ("connection", "gloo", "nccl", "timed out", "broken pipe", "process group")
"""Of what torch says when a rank has gone, in small letters."""


def lost(error: RuntimeError) -> RankLost | Stopped | None:
    """The error as one of a rank that has gone, if it is one: in an exchange, or in the backward pass of DDP."""
    if not dist.is_initialized() or not any(word in str(error).lower() for word in LOST):
        return None
    if stop := _stop():
        return stopped_by(stop)
    return RankLost(
        f"another rank has gone ({_said(error)}). The last checkpoint stays: the same command goes on from it."
    )


def _said(error: Exception) -> str:
    return first_line(str(error), 200)
