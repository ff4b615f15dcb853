"""How ``torchrun`` starts the processes of a run, as the environment has it: known before torch is imported."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from fomo.errors import FomoError

STARTED_BY = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def are_several() -> bool:
    """Whether this process is one of several of a run."""
    return all(name in os.environ for name in STARTED_BY) and whole_number("WORLD_SIZE") > 1


def number() -> int:
    """Which of a run's processes this is, from 0; 0 for one of its own."""
    return whole_number("RANK") if are_several() else 0


def command() -> list[str]:
    """How a command of ``fomo`` is begun to be started as this one was; over several hosts, on each of them."""
    if not are_several():
        return ["fomo"]
    hosts = int(os.environ["WORLD_SIZE"]) // int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    on_each = int(os.environ["WORLD_SIZE"]) // hosts
    of_hosts = [f"--nnodes={hosts}"] if hosts > 1 else []
    return ["torchrun", *of_hosts, f"--nproc-per-node={on_each}", "-m", "fomo"]


def whole_number(name: str) -> int:
    """A number of the environment.

    Raises:
        FomoError: it is none.
    """
    value = os.environ[name]
    if not value.isascii() or not value.isdigit():
        raise FomoError(f"{name}={value} in the environment: allowed are whole numbers, which torchrun sets.")
    return int(value)


@contextmanager
def said_once() -> Iterator[None]:
    """A block in which all processes of a run would print the same: the first one alone does."""
    with ExitStack() as stack:
        if number() > 0:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield
