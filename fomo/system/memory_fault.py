"""Running out of memory, as torch and Python say it, and where."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

MESSAGES = ("out of memory", "can't allocate memory", "alloc_failed")
"""What allocators say that raise a plain RuntimeError: that of the CPU, and those within CUDA's libraries."""


class MemoryFault(Exception):
    """Memory ran out.

    Args:
        phase: "step", "evaluation" or "hook".
        task: number of the task, from 1; 0 before the first.
        step: number of the step in the task, for the phase "step".
        error: what the allocator raised.
    """

    def __init__(self, phase: str, task: int, step: int | None, error: Exception) -> None:
        where = {"step": f"in task {task}, step {step}", "evaluation": f"in the evaluation after task {task}"}
        super().__init__(where.get(phase, f"at the start or the end of task {task}"))
        self.phase = phase
        self.reason = reason_of(error)


def reason_of(error: Exception) -> str:
    """What an allocator says, two sentences at most, without a full stop."""
    first_line = str(error).split("\n")[0]
    return ". ".join(first_line.split(". ")[:2]).rstrip(".") or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    plain = isinstance(error, RuntimeError) and any(message in str(error).lower() for message in MESSAGES)
    return plain or isinstance(error, (torch.OutOfMemoryError, MemoryError))


@contextmanager
def during(phase: str, task: int, step: int | None = None) -> Iterator[None]:
    """Name the phase, the task and the step in which memory runs out during the block.

    Raises:
        MemoryFault: in place of the error that said so.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryFault(phase, task, step, error) from error
