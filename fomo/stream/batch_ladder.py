"""Batch sizes that are decided as a run goes on: AdAdaGrad (Lau et al. 2024, arXiv 2402.11215), task by task.

A test on the gradients of a batch of b rows asks for batches of b' at least
(``methods/diagnostics/gradient_noise.py``):

    next size = min(b_max, max(b, b')),

rounded up to a rung of a ladder. It never falls.

What differs: the paper decides after every step, here at the end of a task, from what its steps say together, for the
next one. Inside of a task sizes stay a pure function of the step, so that schedules, mixture and plan know how long it
is. The sizes are those of a ladder, so that each is rehearsed, and its steps are planned, before the run. The learning
rate is that of ``batch_scaling``; the paper leaves it as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fomo.errors import FomoError, check_choice

TESTS = ("norm_test", "inner_product_test")
"""Values that a part may log at the end of a task: the size of batch that a test asks for."""


@dataclass(frozen=True)
class BatchLadder:
    """The sizes that later tasks may have, and what decides.

    Raises:
        FomoError: sizes that are no integers, or do not rise; an unknown test; a test without sizes.
    """

    sizes: Any = None
    """The rungs above ``batch_size``, a list of integers; ``None``: sizes are not decided."""
    test: str = TESTS[0]
    """One of :data:`TESTS`."""

    def __post_init__(self) -> None:
        check_choice("value of batch_ladder.test", self.test, TESTS)
        if self.sizes is None and self.test != TESTS[0]:
            raise FomoError(
                f"batch_ladder.test={self.test} without batch_ladder.sizes, so that nothing is decided: give the sizes "
                "above batch_size, as batch_ladder.sizes=[64,128], or leave it out."
            )
        for before, after in pairwise(self.rungs):
            if after <= before:
                raise FomoError(f"batch_ladder.sizes={list(self.rungs)}: {after} after {before}: every size is larger.")

    @property
    def rungs(self) -> tuple[int, ...]:
        """The sizes above ``batch_size``, in order; none where sizes are not decided."""
        if self.sizes is None:
            return ()
        found = self.sizes if isinstance(self.sizes, (list, tuple)) else ()
        if not found or any(type(size) is not int for size in found):
            raise FomoError(
                f"batch_ladder.sizes={self.sizes}: a list of integers above batch_size is expected, [64,128], or null."
            )
        return tuple(found)

    def check_above(self, batch_size: int) -> None:
        """Refuse a ladder whose first rung is not above the size that a run begins with.

        Raises:
            FomoError: it is not.
        """
        if self.rungs and self.rungs[0] <= batch_size:
            raise FomoError(
                f"batch_ladder.sizes={list(self.rungs)}: {self.rungs[0]} is not above batch_size={batch_size}, with "
                "which a run begins. Leave it out, or take a smaller batch_size."
            )


def next_size(rungs: Sequence[int], size: int, asked: float) -> int:
    """The size of the next task's batches.

    Args:
        rungs: Sizes that it may have, rising.
        size: That of the task which has ended.
        asked: What a test asks for; where it does not say (NaN), the size stays.
    """
    above = [rung for rung in rungs if rung > size]
    if not above or not asked > size:
        return size
    return next((rung for rung in above if rung >= asked), above[-1])
