"""Running out of memory, as torch and Python say it, and where."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

TEXTS = ("out of memory", "can't allocate memory", "alloc_failed")
"""What allocators say that raise a plain RuntimeError: the CPU's, and those inside of CUDA's libraries."""


class MemoryFault(Exception):
    """Memory ran out in a ``phase``: "step", "evaluation" or "hook"."""

    def __init__(self, phase: str, task: int, step: int | None, error: Exception) -> None:
        where = {"step": f"in task {task}, step {step}", "evaluation": f"in the evaluation after task {task}"}
        super().__init__(where.get(phase, f"at the start or the end of task {task}"))
        first_line = str(error).split("\n")[0]
        self.phase, self.reason = phase, ". ".join(first_line.split(". ")[:2]).rstrip(".") or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in TEXTS)


@contextmanager
def during(phase: str, task: int, step: int | None = None) -> Iterator[None]:
    """Turn what says that memory ran out into a :class:`MemoryFault`.

    Raises:
        MemoryFault: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryFault(phase, task, step, error) from error
