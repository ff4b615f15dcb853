"""Several processes on this machine, as ranks of one run, that call a function; what was built before, they have."""

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch

from fomo.errors import FomoError, RankLost
from fomo.system.determinism import deterministic
from fomo.system.joining import joined

PATIENCE = 600.0
"""Seconds without an end of any of them after which they hang: so long that a busy machine is not taken for one."""
GRACE = 5.0
"""Seconds that the others have to end once one has failed."""


class Outcome(NamedTuple):
    """What a process has returned, or how it has failed; of an error of the user its text."""

    value: Any = None
    error: str = ""
    is_lost: bool = False


def on_ranks(count: int, work: Callable[[], Any]) -> list[Any]:
    """What ``work`` returns in each of ``count`` forked processes, which are the ranks of a run on the CPU.

    Raises:
        FomoError: it has failed in one of them; that of the lowest rank that has not just lost another.
    """
    context = multiprocessing.get_context("fork")
    port = _free_port()
    pairs = [context.Pipe(duplex=False) for _ in range(count)]
    processes: list[BaseProcess] = [
        context.Process(target=_rank, args=(rank, count, port, work, pairs[rank][1]), daemon=True)
        for rank in range(count)
    ]
    for process, (_, theirs) in zip(processes, pairs, strict=True):
        process.start()
        theirs.close()
    try:
        outcomes = _outcomes([own for own, _ in pairs])
    finally:
        for process in processes:
            process.kill()
            process.join()
    failed = sorted((each for each in outcomes if each.error), key=lambda each: each.is_lost)
    if failed:
        raise FomoError(failed[0].error)
    return [each.value for each in outcomes]


def _outcomes(connections: list[Connection]) -> list[Outcome]:
    found = {connection: Outcome(error=f"nothing came in {PATIENCE:g} s", is_lost=True) for connection in connections}
    left = set(connections)
    while left:
        has_failed = any(each.error for connection, each in found.items() if connection not in left)
        ready = wait(list(left), GRACE if has_failed else PATIENCE)
        if not ready:
            break
        for connection in ready:
            assert isinstance(connection, Connection)
            left.discard(connection)
            try:
                found[connection] = pickle.loads(connection.recv_bytes())
            except (EOFError, ConnectionError):
                found[connection] = Outcome(error="the process has died")
    return list(found.values())


def _rank(rank: int, count: int, port: int, work: Callable[[], Any], connection: Connection) -> None:
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in own.items()} | {"CUDA_VISIBLE_DEVICES": ""}
    torch.set_num_threads(1)  # threads of the parent's are not there
    torch.cuda.is_available = lambda: False  # nor is its GPU to be used
    try:
        with joined(), deterministic(True):
            outcome = Outcome(work())
    except FomoError as error:
        outcome = Outcome(error=str(error), is_lost=isinstance(error, RankLost))
    except BaseException:
        outcome = Outcome(error=traceback.format_exc())
    connection.send_bytes(pickle.dumps(outcome))  # tensors by value, not by files that end with the process
    connection.close()
    os._exit(0)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
