"""Learning rate within a task: pure functions of the position (PROTOCOL, learning-rate schedules).

Task of S steps, s from 0. Warm-up over w = ⌈0.1·S⌉ steps: η_t·(s+1)/w. Cool-down, where there is one, over the last
c = ⌈0.1·S⌉ steps. The floor η_min is 0.001·η. Shares are settings; ⌈·⌉ is taken in decimals. In the formulas every
multiplier acts on (η_t − η_min).
"""

import math
from decimal import Decimal

import fomo
from fomo import Position


def steps_of(key: str, share: float, num_steps: int) -> int:
    """⌈share·S⌉."""
    if not 0 <= share <= 1:
        raise fomo.FomoError(f"schedule.{key}={share}: allowed are 0 to 1, a share of the task's steps.")
    return math.ceil(Decimal(str(share)) * num_steps)


def warm_and_cool(num_steps: int, warmup: float, cooldown: float) -> tuple[int, int]:
    """w and c; an error if the task is shorter than both together."""
    w, c = steps_of("warmup", warmup, num_steps), steps_of("cooldown", cooldown, num_steps)
    if w + c > num_steps:
        raise fomo.FomoError(
            f"schedule: {w} steps of warm-up and {c} of cool-down exceed the {num_steps} steps of a task. "
            "Take schedule=cosine or constant, lower schedule.warmup or schedule.cooldown, or give more steps."
        )
    return w, c


def between(at: Position, multiplier: float) -> float:
    """η_min + (η_t − η_min)·multiplier."""
    return at.floor + (at.peak - at.floor) * multiplier


def rising(at: Position, w: int) -> float:
    """η_t·(s+1)/w."""
    return at.peak * (at.step + 1) / w


def falling(at: Position, c: int) -> float:
    """The cool-down's factor: 1 before it, (c−1−(s−(S−c)))/c in it, so 0 at the last step."""
    into = at.step - (at.num_steps - c)
    return 1.0 if into < 0 else (c - 1 - into) / c


def half_wave(progress: float) -> float:
    """½(1+cos(π·progress))."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def constant(at: Position, warmup: float = 0.1) -> float:
    """η_t after the warm-up."""
    w = steps_of("warmup", warmup, at.num_steps)
    return rising(at, w) if at.step < w else at.peak


def cosine(at: Position, warmup: float = 0.1) -> float:
    """½(1+cos(π(s−w+1)/(S−w))) after the warm-up (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    w = steps_of("warmup", warmup, at.num_steps)
    if at.step < w:
        return rising(at, w)
    return between(at, half_wave((at.step - w + 1) / (at.num_steps - w)))


def rsqrt(at: Position, warmup: float = 0.1, cooldown: float = 0.1) -> float:
    """√(w/s) after the warm-up; the rate times (c−1−(s−(S−c)))/c in the cool-down (Zhai et al. 2022, 2106.04560)."""
    w, c = warm_and_cool(at.num_steps, warmup, cooldown)
    check_warm("rsqrt", w)
    if at.step < w:
        return rising(at, w)
    return between(at, math.sqrt(w / at.step)) * falling(at, c)


def wsd(at: Position, warmup: float = 0.1, cooldown: float = 0.1) -> float:
    """Warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395): η_t, then rsqrt's cool-down."""
    w, c = warm_and_cool(at.num_steps, warmup, cooldown)
    return rising(at, w) if at.step < w else at.peak * falling(at, c)


def power(at: Position, warmup: float = 0.1, cooldown: float = 0.1, a: float | None = None, b: float = -0.51) -> float:
    """Power (Shen et al. 2024, arXiv 2408.13359): min(η, β·a·n^b), β samples a step, n samples seen in the whole run.

    Each task warms up to the law's value at the warm-up's end and cools down over c steps, by an equal factor each, to
    η_min. ``a`` null: the law meets η at the end of the first warm-up. Differs from the paper in that samples are
    counted, not tokens; its a = 4.6 never binds at CLIP's small peaks.
    """
    w, c = warm_and_cool(at.num_steps, warmup, cooldown)
    check_warm("power", w)
    if at.ramped:
        raise fomo.FomoError("schedule=power counts samples in batches of one size: take another one with batch_ramp.")
    if (a is not None and not a > 0) or not -10 <= b <= 0:
        raise fomo.FomoError(f"schedule.a={a}, schedule.b={b}: a is above 0 or null, b is -10 to 0.")

    def law(step: int) -> float:
        seen = (at.task * at.num_steps + step + 1) * at.batch_size
        free = at.peak * (seen / (w * at.batch_size)) ** b if a is None else at.batch_size * a * seen**b
        return min(at.peak, free)

    if at.step < w:
        return law(w - 1) * (at.step + 1) / w
    last = at.num_steps - c - 1
    if at.step <= last:
        return law(at.step)
    return law(last) * (at.floor / law(last)) ** ((at.step - last) / c)


def check_warm(name: str, w: int) -> None:
    """Refuse a schedule that measures time in warm-ups if there is none."""
    if w < 1:
        raise fomo.FomoError(f"schedule={name} decays from the end of the warm-up: give schedule.warmup above 0.")
