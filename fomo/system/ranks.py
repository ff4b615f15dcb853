"""The processes that take one run's steps together, as ``torchrun`` starts them: its ranks. A process of its own is one
of one, and everything here is then the identity.

Of the rows of a batch rank r of N takes r, r + N, r + 2N, …, so that each has its share of every pool. All ranks do the
same in the same order: what one is asked to exchange, all are. Transport is torch.distributed: NCCL between GPUs, gloo
between hosts' memories.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.rendezvous import rendezvous

from fomo.errors import FomoError, RankLost, Stopped
from fomo.system.signals import stopped_by
from fomo.system.text import first_line
from fomo.system.torchrun import are_several, whole_number

JOIN = "FOMO_JOIN_SECONDS"
"""Of the environment: how long to wait for all ranks to be there; by default five minutes."""
LOOK = 0.1
"""Seconds between looks at whether a signal has come, while a thread waits for the ranks."""
PATIENCE = timedelta(minutes=30)
"""For one exchange: a rank may have to draw or download what the others wait for."""
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
_totals: dict[int, set[int]] = {}
"""While rehearsing: to how many rows of this rank's, from the start to the end of a pool, which of all ranks belong."""


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


@contextmanager
def rehearsing(counts: Sequence[int]) -> Iterator[None]:
    """While open, fake rows are gathered without an exchange: those of this rank, of a batch with these ``counts``."""
    global _totals
    before = _totals
    here = world()
    ends = [sum(counts[: number + 1]) for number in range(len(counts))]
    own = here.share(counts)
    _totals = {}
    for number, end in enumerate(ends):
        _totals.setdefault(sum(own[: number + 1]), set()).add(end)
    try:
        yield
    finally:
        _totals = before


@contextmanager
def joined() -> Iterator[World]:
    """Be one of the run's processes during the block, if it was started so: each with a GPU of its own, if it has one.

    Raises:
        FomoError: the others do not come, or there is no GPU for this one, or another rank has the same.
    """
    if not are_several():
        yield ALONE
        return
    refused = _take_gpu()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    _met(backend)
    with together("it takes its GPU"):
        if refused:
            raise FomoError(refused)
    _check_gpus()
    yield world()
    dist.destroy_process_group()  # not after an error: it would wait for ranks that are gone


def is_first_to_tell() -> bool:
    """Whether no rank has told yet why the run ends; from then on one has."""
    try:
        return _store is None or bool(_store.add(_key("told"), 1) == 1)
    except RuntimeError:  # whoever kept the store is gone
        return True


def note_stop(number: int) -> None:
    """Let the ranks that miss this one know that a signal has ended it."""
    try:
        if _store is not None:
            _store.set(_key("stopped"), str(number))
    except RuntimeError:  # whoever kept the store is gone
        return


def _stop() -> int:
    """The number of the signal that has ended another rank; 0: none has, as far as is known."""
    try:
        return int(_store.get(_key("stopped"))) if _store is not None and _store.check([_key("stopped")]) else 0
    except RuntimeError:
        return 0


def _key(name: str) -> str:
    """Of the store, which may outlive an attempt of ``torchrun`` to run the ranks."""
    return f"fomo/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{name}"


def _met(backend: str) -> None:
    """Be connected with all ranks. A signal ends the wait for them, which a thread does: torch would not heed one."""
    seconds = whole_number(JOIN) if JOIN in os.environ else 300
    met: Future[None] = Future()
    threading.Thread(target=_meet, args=(met, backend, timedelta(seconds=seconds)), daemon=True).start()
    try:
        while not met.done():
            time.sleep(LOOK)
        met.result()
    except (RuntimeError, ValueError, OSError) as error:
        size, host, port = (os.environ[name] for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
        raise FomoError(
            f"not all {size} ranks have met at {host}:{port} in {seconds} s ({_said(error)}). Are all hosts started, "
            "with the same address, port and number of processes, and can they reach one another there? "
            f"{JOIN} of the environment sets how long they wait."
        ) from None


def _meet(met: "Future[None]", backend: str, patience: timedelta) -> None:
    global _store
    try:
        store, rank, size = next(rendezvous("env://", timeout=patience))
        if store.add(_key("here"), 1) == size:
            store.set(_key("all"), "1")
        store.wait([_key("all")], patience)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        _store = store
        met.set_result(None)
    except BaseException as error:  # raised again by who waits
        met.set_exception(error)


def _take_gpu() -> str:
    """Leave this process the GPU of its number on the host alone, before anything has looked at one.

    Why that cannot be; empty where it can, or where there is none to take.
    """
    local = whole_number("LOCAL_RANK")
    num_gpus = torch.cuda.device_count()
    if num_gpus <= 1:
        return ""
    if local < num_gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[local] if visible else str(local)
        return ""
    return (
        f"this is number {local} on {socket.gethostname()}, which has {num_gpus} GPUs: give "
        f"--nproc-per-node={num_gpus} at most, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to compute on the CPU."
    )


def _check_gpus() -> None:
    """Refuse two ranks on one GPU."""
    gpu = str(torch.cuda.get_device_properties(0).uuid) if torch.cuda.is_available() else f"none {dist.get_rank()}"
    found = exchanged((socket.gethostname(), gpu))
    twice = next((each for each in found if found.count(each) > 1), None)
    if twice:
        who = " and ".join(str(rank) for rank, each in enumerate(found) if each == twice)
        raise FomoError(
            f"ranks {who} have the same GPU of {twice[0]}: give --nproc-per-node no more than the GPUs of a host, or "
            "hide the GPUs (CUDA_VISIBLE_DEVICES=) to compute on the CPU."
        )


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
    with _talking():
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
    with _talking():
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


def _alike(one: float, other: float) -> bool:
    if torch.are_deterministic_algorithms_enabled():
        return one == other or (one != one and other != other)
    both_odd = not (abs(one) < float("inf") or abs(other) < float("inf"))
    return both_odd or abs(one - other) <= AGREED * max(abs(one), abs(other))


def largest_of(values: Sequence[float]) -> list[float]:
    """The largest of what the ranks give, one by one."""
    return [max(each) for each in zip(*agreed(values), strict=True)]


def largest_scalar(scalar: Tensor) -> Tensor:
    """The largest of the ranks' tensors without dimensions, NaN if one of them is; the host does not wait for it."""
    here = world()
    if here.size == 1:
        return scalar
    found = [torch.empty_like(scalar) for _ in range(here.size)]
    with _talking():
        dist.all_gather(found, scalar)
    return torch.stack(found).max()


def gathered(rows: Tensor, num_rows: int | None = None) -> Tensor:
    """The rows of all ranks [n, …] from those of each, in the order of the whole batch; a gradient goes through.

    Whatever is computed of the result is computed alike by every rank, and the mean of their gradients is then that of
    the whole batch.

    Args:
        rows: This rank's, [k, …]: all rows of the batch, or those from its start to the end of a pool.
        num_rows: n, where it is known; else the ranks tell one another how many they have.

    Raises:
        FomoError: of ``num_rows`` this rank has not as many as are given.
    """
    here = world()
    if here.size == 1:
        return rows
    if num_rows is None and isinstance(rows, FakeTensor):
        num_rows = _total(len(rows))
    counts = [int(each[0]) for each in agreed([len(rows)])] if num_rows is None else _counts(num_rows, here.size)
    if len(rows) != counts[here.rank]:
        raise FomoError(
            f"fomo.gathered: of {num_rows} rows rank {here.rank} of {here.size} has {counts[here.rank]}, given are "
            f"{len(rows)}. Give all that it has; with other images in a batch, other `counts` and `whole` too."
        )
    return _Gathered.apply(rows, _order(counts))


def _total(own: int) -> int:
    """Of how many rows this rank has ``own``, in a rehearsal, where nobody can be asked."""
    found = _totals.get(own, ())
    if len(found) != 1:
        raise FomoError(
            f"fomo.gathered: in a rehearsal, where ranks cannot ask one another, {own} rows of this one do not say how "
            "many all have: give num_rows, as sum(batch.whole[:1]) for those of the pretraining pool."
        )
    return next(iter(found))


def _counts(num_rows: int, size: int) -> list[int]:
    return [len(range(rank, num_rows, size)) for rank in range(size)]


def _order(counts: Sequence[int]) -> list[tuple[int, int]]:
    """Of each row of the whole batch, its rank and its number there."""
    ranks = range(len(counts))
    return [(rank, number) for number in range(max(counts)) for rank in ranks if number < counts[rank]]


class _Gathered(torch.autograd.Function):
    """All rows from each rank's; of their gradients, each rank has the sum of what all ranks computed for its rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: list[tuple[int, int]]) -> Tensor:
        """The rows [n, …] of all ranks."""
        here = world()
        ctx.order = order
        most = 1 + max((number for _, number in order), default=-1)
        if isinstance(rows, FakeTensor):
            return rows.new_empty((len(order), *rows.shape[1:]))
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in range(here.size)]
        with _talking():
            dist.all_gather(found, padded)
        places = [rank * most + number for rank, number in order]
        return torch.cat(found)[torch.tensor(places, device=rows.device)]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of this rank's rows."""
        return _Summed.apply(gradient, ctx.order), None


class _Summed(torch.autograd.Function):
    """Of what all ranks have for all rows, the sums for this rank's; the gradient of a gradient goes back by it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: list[tuple[int, int]]) -> Tensor:
        """This rank's [k, …], of rows [n, …]."""
        ctx.order = order
        if not isinstance(rows, FakeTensor):
            rows = rows.contiguous().clone()
            with _talking():
                dist.all_reduce(rows)
        own = [place for place, (rank, _) in enumerate(order) if rank == world().rank]
        return rows[torch.tensor(own, dtype=torch.long, device=rows.device)]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient at all rows."""
        return _Gathered.apply(gradient, ctx.order), None


def in_turn(count: int, make: Callable[[int], Tensor]) -> Iterator[Tensor]:
    """What ``make`` returns for 0 to ``count`` - 1, on all ranks: each makes every N-th, and the rows [k, …] go round.

    Args:
        count: How many there are.
        make: Called with the numbers that are this rank's, in order.
    """
    here = world()
    if here.size == 1:
        yield from map(make, range(count))
        return
    for start in range(0, count, here.size):
        own = make(start + here.rank) if start + here.rank < count else None
        shapes = exchanged(None if own is None else (tuple(own.shape), own.dtype, own.device.type))
        known = next(each for each in shapes if each is not None)
        most = max(each[0][0] for each in shapes if each is not None)
        device = torch.device(known[2])
        padded = torch.zeros((most, *known[0][1:]), dtype=known[1], device=device)
        if own is not None:
            padded[: len(own)] = own
        found = [torch.empty_like(padded) for _ in range(here.size)]
        with _talking():
            dist.all_gather(found, padded)
        for rows, shape in zip(found, shapes, strict=True):
            if shape is not None:
                yield rows[: shape[0][0]]


def averaged(tensors: Sequence[Any]) -> Sequence[Any]:
    """The means over the ranks of what each has computed, such as gradients, in their memory where that is their own.

    ``None``, which ``torch.autograd.grad`` has for what a loss does not reach, stays.
    """
    here = world()
    if here.size == 1 or any(isinstance(each, FakeTensor) for each in tensors):
        return tensors
    found = [each if each is None or _has_own_memory(each) else each.clone() for each in tensors]
    with _talking(), torch.no_grad():
        for each in found:
            if each is not None:
                dist.all_reduce(each)
                each.div_(here.size)
    return found


def _has_own_memory(tensor: Tensor) -> bool:
    """Whether every entry has a place of its own, and the places are all that there are between first and last."""
    return torch.empty_like(tensor, device="meta").stride() == tensor.stride()


@contextmanager
def _talking() -> Iterator[None]:
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
