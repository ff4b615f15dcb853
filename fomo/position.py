"""Where in a run a step is: what the learning rate is a pure function of."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """Step ``step`` of ``num_steps`` in task ``task``, both from 0. Earlier tasks are taken to be as long.

    ``peak`` is the learning rate η that a schedule rises to, ``floor`` η_min, ``batch_size`` samples in this step; in
    all steps of the run, unless it is ``ramped``. Then ``seen`` has the samples in so many first steps of the run, and
    ``start`` the number of those before the task. ``rescaled`` is whether the size of its batch multiplies the rate
    that is returned.

    A schedule is called with it and its settings, and returns the learning rate of the step itself, a float from
    ``floor`` to ``peak``, no multiplier; a meta-schedule is called with the schedule before it, and returns the same.
    """

    task: int
    step: int
    num_steps: int
    peak: float
    floor: float
    batch_size: int = 1
    ramped: bool = False
    start: int = 0
    seen: Callable[[int], int] | None = None
    rescaled: bool = False
