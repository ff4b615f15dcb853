"""How large the batches of a run are, and what the learning rate makes of it.

A ramp says from how many training samples of the whole run on batches have which size. A size changes between steps, so
that the size of a step is a pure function of the number of steps before it in the run: no state, whatever the task.
Larger batches in the place of a smaller learning rate: Smith et al. 2018, arXiv 1711.00489.

A rule multiplies the learning rate of a batch of b by κ, r being the size that ``optimizer.lr`` is meant for: linear,
κ = b/r (Goyal et al. 2017, arXiv 1706.02677, section 2.1), or sqrt, κ = √(b/r) (Krizhevsky 2014, arXiv 1404.5997,
section 5; for Adam Malladi et al. 2022, arXiv 2205.10287). The latter scale Adam's betas and eps too; here they stay.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from fomo.errors import FomoError, check_allowed, check_choice

RULES: dict[str, Callable[[float], float]] = {
    "none": lambda ratio: 1.0,
    "linear": lambda ratio: ratio,
    "sqrt": math.sqrt,
}
"""κ as a function of b/r."""


@dataclass(frozen=True)
class BatchScaling:
    """What the learning rate makes of the size of a batch.

    Raises:
        FomoError: an unknown rule, a reference below 1.
    """

    rule: str = "none"
    """One of :data:`RULES`."""
    reference: int | None = None
    """The size r that ``optimizer.lr`` is meant for; ``None``: ``batch_size``."""

    def __post_init__(self) -> None:
        check_choice("value of batch_scaling.rule", self.rule, RULES)
        check_allowed(
            self.reference is None or self.reference >= 1,
            f"batch_scaling.reference={self.reference}",
            "1 and above, and null",
        )

    def factor(self, size: int, batch_size: int) -> float:
        """κ of a batch of ``size``."""
        return RULES[self.rule](size / (self.reference or batch_size))


class Stretch(NamedTuple):
    """Steps of one size, one after the other."""

    num_steps: int
    size: int


class _Stage(NamedTuple):
    """From where on batches have a size."""

    step: int
    """The first step of the run that has it."""
    seen: int
    """Samples of the run before that step."""
    size: int


@dataclass(frozen=True)
class BatchSizes:
    """The sizes of all batches of a run: ``first``, and each ``(samples, size)`` of ``ramp`` from so many on.

    Steps count from 0, over the whole run. Where sizes are decided as it goes on, ``rungs`` are those that later tasks
    may have, and ``ramp`` has what is decided.

    Raises:
        FomoError: positions that do not rise, a size below 2, a size that no batch has.
    """

    first: int
    ramp: tuple[tuple[int, int], ...] = ()
    rungs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for samples, size in self.ramp:
            check_allowed(
                samples >= 1 and size >= 2, f"batch_ramp: {[samples, size]}", "samples from 1 and sizes from 2"
            )
        for (before, _), (after, _) in pairwise(self.ramp):
            if before >= after:
                raise FomoError(f"batch_ramp: {after} samples after {before}: they have to rise from pair to pair.")
        for (pair, following), (stage, end) in zip(pairwise(self.ramp), pairwise(self._stages[1:]), strict=True):
            if stage.step == end.step:
                raise FomoError(
                    f"batch_ramp: no batch has the size of {list(pair)}: {list(following)} comes before the batch that "
                    f"is then at hand ends, at {stage.seen} samples. Leave one of them out."
                )

    @cached_property
    def _stages(self) -> tuple[_Stage, ...]:
        stages = [_Stage(0, 0, self.first)]
        for samples, size in self.ramp:
            step, seen, before = stages[-1]
            more = max(0, -(-(samples - seen) // before))
            stages.append(_Stage(step + more, seen + more * before, size))
        return tuple(stages)

    @property
    def distinct(self) -> tuple[int, ...]:
        """Every size that a batch may have once, ``first`` before all others."""
        return tuple(dict.fromkeys([*(stage.size for stage in self._stages), *self.rungs]))

    def climbed(self, step: int, size: int) -> "BatchSizes":
        """The same sizes before ``step``, and ``size`` from it on."""
        return replace(self, ramp=(*self.ramp, (self.seen(step), size)))

    def _stage(self, step: int) -> _Stage:
        return next(stage for stage in reversed(self._stages) if stage.step <= step)

    def of(self, step: int) -> int:
        """The size of a step."""
        return self._stage(step).size

    def seen(self, step: int) -> int:
        """Samples before a step."""
        stage = self._stage(step)
        return stage.seen + (step - stage.step) * stage.size

    def stretches(self, start: int, num_steps: int) -> list[Stretch]:
        """The ``num_steps`` steps from ``start`` on, as stretches of one size each."""
        changes = [stage.step for stage in self._stages if start < stage.step < start + num_steps]
        bounds = [start, *changes, start + num_steps]
        return [Stretch(end - begin, self.of(begin)) for begin, end in pairwise(bounds) if end > begin]

    def of_tasks(self, steps: Sequence[int]) -> list[list[Stretch]]:
        """The stretches of every task; ``steps`` are the numbers of steps of the tasks."""
        return [
            self.stretches(end - num_steps, num_steps) for num_steps, end in zip(steps, accumulate(steps), strict=True)
        ]

    def check_reached(self, num_steps: int) -> None:
        """Refuse a run of ``num_steps`` that ends before a size of the ramp is reached, unless it trains nothing.

        Raises:
            FomoError: a size is not reached.
        """
        for pair, stage in zip(self.ramp, self._stages[1:], strict=True):
            if 0 < num_steps <= stage.step:
                raise FomoError(
                    f"batch_ramp: {list(pair)} is never reached: the {num_steps} steps of the run end at "
                    f"{self.seen(num_steps)} samples. Let it begin earlier, leave it out, or raise the budget."
                )


ONE_SIZE = BatchSizes(1)
"""For what depends on no size."""


def read_ramp(value: Any) -> tuple[tuple[int, int], ...]:
    """The pairs of ``batch_ramp``; none for ``None``.

    Raises:
        FomoError: anything else than a list of pairs of integers.
    """
    if value is None:
        return ()
    pairs = value if isinstance(value, (list, tuple)) else []
    if not pairs or not all(isinstance(p, (list, tuple)) and [type(n) for n in p] == [int, int] for p in pairs):
        raise FomoError(f"batch_ramp={value}: pairs of integers are expected, [[SAMPLES,SIZE],…], or null.")
    return tuple((samples, size) for samples, size in pairs)
