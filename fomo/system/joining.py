"""How the ranks of a run find one another, each with a GPU of its own."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from fomo.errors import FomoError
from fomo.system.ranks import ALONE, World, exchanged, keep, together, world
from fomo.system.text import first_line
from fomo.system.torchrun import are_several, whole_number

JOIN = "FOMO_JOIN_SECONDS"
"""Of the environment: how long to wait for all ranks to be there; by default five minutes."""
LOOK = 0.1
"""Seconds between looks at whether a signal has come, while a thread waits for the ranks."""
SLACK = 5.0
"""Seconds more, for torch to say itself what it has waited for, before the wait is ended for it."""
PATIENCE = timedelta(minutes=30)
"""For one exchange: a rank may have to draw or download what the others wait for."""


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


def _met(backend: str) -> None:
    """Be connected with all ranks. A signal ends the wait for them, which a thread does: torch would not heed one.

    Nor would it heed the time where a store takes a connection and says nothing, or a name server a question; and a
    rank that goes once it has answered would be waited for as in an exchange.

    Raises:
        FomoError: not all ranks are there in time.
    """
    seconds = whole_number(JOIN) if JOIN in os.environ else 300
    met: Future[None] = Future()
    threading.Thread(target=_meet, args=(met, backend, timedelta(seconds=seconds)), daemon=True).start()
    end = time.monotonic() + seconds + SLACK
    try:
        while not met.done() and time.monotonic() < end:
            time.sleep(LOOK)
        if not met.done():
            raise TimeoutError("nothing more is heard: of whoever keeps their store, or of a rank that was there")
        met.result()
    except (RuntimeError, ValueError, OSError) as error:
        size, host, port = (os.environ[name] for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
        raise FomoError(
            f"not all {size} ranks have met at {host}:{port} in {seconds} s ({first_line(str(error), 200)}). Are all "
            "hosts started, with the same address, port and number of processes, and can they reach one another there? "
            f"{JOIN} of the environment sets how long they wait."
        ) from None


def _meet(met: "Future[None]", backend: str, patience: timedelta) -> None:
    try:
        store, rank, size = next(rendezvous("env://", timeout=patience))
        own = of_this_attempt(store, rank, size, patience)
        dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=PATIENCE)
        keep(own)
        met.set_result(None)
    except BaseException as error:  # raised again by who waits
        met.set_exception(error)


def of_this_attempt(store: Store, rank: int, size: int, patience: timedelta) -> Store:
    """The part of a store that the ranks started together share, and no others.

    An agent of ``torchrun`` keeps its store over restarts, with the addresses of processes that are gone; and how often
    it has restarted it counts for itself, so that hosts may differ. Rank 0 therefore names the attempt by a word of its
    own. Who has read the name answers with another; the attempt is the one whose list of answers holds one's own.

    Args:
        store: What the agents keep.
        rank: This process.
        size: How many there are.
        patience: How long to wait for the others.

    Raises:
        RuntimeError: they do not come in time.
    """
    end = time.monotonic() + patience.total_seconds()
    word = uuid.uuid4().hex
    if rank == 0:
        store.set("attempt", word)
        others = [f"{word}/answer/{number}" for number in range(1, size)]
        store.wait(others, patience)
        store.set(f"{word}/all", " ".join(store.get(answer).decode() for answer in others))
        return PrefixStore(word, store)
    while time.monotonic() < end:
        name = _named(store, rank, word)
        if name:
            return PrefixStore(name, store)
        time.sleep(LOOK)
    raise RuntimeError("rank 0 has not met all")


def _named(store: Store, rank: int, word: str) -> str:
    """Answer to the attempt that stands in the store; its name if it is that of this process, else nothing."""
    if not store.check(["attempt"]):
        return ""
    name = store.get("attempt").decode()
    store.set(f"{name}/answer/{rank}", word)
    listed = f"{name}/all"
    return name if store.check([listed]) and word in store.get(listed).decode().split() else ""


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
