"""How the ranks of a run find one another, each with a GPU of its own."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from fomo.errors import FomoError
from fomo.system.ranks import ALONE, World, exchanged, keep, key, together, world
from fomo.system.text import first_line
from fomo.system.torchrun import are_several, whole_number

JOIN = "FOMO_JOIN_SECONDS"
"""Of the environment: how long to wait for all ranks to be there; by default five minutes."""
LOOK = 0.1
"""Seconds between looks at whether a signal has come, while a thread waits for the ranks."""
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
            f"not all {size} ranks have met at {host}:{port} in {seconds} s ({first_line(str(error), 200)}). Are all "
            "hosts started, with the same address, port and number of processes, and can they reach one another there? "
            f"{JOIN} of the environment sets how long they wait."
        ) from None


def _meet(met: "Future[None]", backend: str, patience: timedelta) -> None:
    try:
        store, rank, size = next(rendezvous("env://", timeout=patience))
        if store.add(key("here"), 1) == size:
            store.set(key("all"), "1")
        store.wait([key("all")], patience)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        keep(store)
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
