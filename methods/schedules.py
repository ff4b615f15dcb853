"""Learning rate within a task: pure functions of the position, s of S steps from 0 (PROTOCOL, learning-rate schedules).

Warm-up over w = ceil(0.1·S) steps: η_t·(s+1)/w. The floor η_min is 0.001·η.
"""

import math

import fomo


def check(num_steps: int, warmup: float) -> int:
    """Steps of warm-up; an error if they would be more than the task has."""
    if not 0 <= warmup <= 1:
        raise fomo.FomoError(f"schedule.warmup={warmup}: allowed are 0 to 1, a share of the task's steps.")
    return math.ceil(warmup * num_steps)


def cosine(step: int, num_steps: int, peak: float, floor: float, warmup: float = 0.1) -> float:
    """η_min + (η_t−η_min)·½(1+cos(π(s−w+1)/(S−w))) after the warm-up (SGDR, arXiv 1608.03983)."""
    w = check(num_steps, warmup)
    if step < w:
        return peak * (step + 1) / w
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * (step - w + 1) / (num_steps - w)))


def constant(step: int, num_steps: int, peak: float, floor: float, warmup: float = 0.1) -> float:
    """η_t after the warm-up."""
    w = check(num_steps, warmup)
    return peak * (step + 1) / w if step < w else peak
