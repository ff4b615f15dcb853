"""Learning rate within a task: pure functions of the position (PROTOCOL, learning-rate schedules).

Task of S steps, s from 0. Warm-up over w = ⌈0.1·S⌉ steps: η_t·(s+1)/w. Cool-down, where there is one, over the last
c = ⌈0.1·S⌉ steps. The floor η_min is 0.001·η. Shares are settings; ⌈·⌉ is taken in decimals. In the formulas every
multiplier acts on (η_t − η_min).

A schedule is any function of a ``fomo.Position`` and of settings. One that falls after its warm-up may say how
(:func:`decaying`); then meta-schedules that have a form for such a decay carry it on from task to task.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import NamedTuple, TypeVar

import fomo
from methods.papers import PAPERS, Papers

Schedule = Callable[[fomo.Position], float]
"""The learning rate of a step, by its position in the run."""
Declared = TypeVar("Declared", bound=Callable[..., float])


class Decay(NamedTuple):
    """How a schedule falls after its warm-up.

    ``multiplier(step, w, S)`` is what (η_t − η_min) is multiplied by at ``step``, from 0, of a task of S steps, w of
    them warm-up; cool-downs left out. ``ends``: it stretches to S steps and comes to 0 there; else S has no influence.
    """

    multiplier: Callable[[int, int, int], float]
    ends: bool


def decaying(multiplier: Callable[[int, int, int], float], ends: bool) -> Callable[[Declared], Declared]:
    """Declare the :class:`Decay` of a schedule.

    The schedule's settings ``warmup`` and ``cooldown``, where it has them, are taken to be shares of a task's steps.
    """

    def declare(schedule: Declared) -> Declared:
        schedule.decay = Decay(multiplier, ends)  # type: ignore[attr-defined]
        return schedule

    return declare


def function_of(schedule: Schedule) -> Callable[..., float]:
    """The function of a schedule, without the settings that it is bound to."""
    return schedule.func if isinstance(schedule, partial) else schedule


def decay_of(schedule: Schedule) -> Decay | None:
    """The decay that a schedule declares; ``None`` if it declares none."""
    return getattr(function_of(schedule), "decay", None)


def steps_of(key: str, share: float, num_steps: int) -> int:
    """⌈share·S⌉ steps; an error that names the setting ``key`` if ``share`` is not in 0 to 1."""
    if not 0 <= share <= 1:
        raise fomo.FomoError(f"schedule.{key}={share}: allowed are 0 to 1, a share of the task's steps.")
    return math.ceil(Decimal(str(share)) * num_steps)


def warm_and_cool(num_steps: int, warmup: float, cooldown: float) -> tuple[int, int]:
    """The steps w of warm-up and c of cool-down; an error if the task is shorter than both together."""
    w = steps_of("warmup", warmup, num_steps)
    c = steps_of("cooldown", cooldown, num_steps)
    if w + c > num_steps:
        raise fomo.FomoError(
            f"schedule: {w} steps of warm-up and {c} of cool-down exceed the {num_steps} steps of a task. "
            "Take schedule=cosine or constant, lower schedule.warmup or schedule.cooldown, or give more steps."
        )
    return w, c


def between(at: fomo.Position, multiplier: float) -> float:
    """The rate η_min + (η_t − η_min)·multiplier."""
    return at.floor + (at.peak - at.floor) * multiplier


def rising(at: fomo.Position, w: int) -> float:
    """The rate η_t·(s+1)/w in a warm-up of w steps."""
    return at.peak * (at.step + 1) / w


def falling(at: fomo.Position, c: int) -> float:
    """The factor of a cool-down of c steps: 1 before it, (c−1−(s−(S−c)))/c in it, so 0 at the last step."""
    into = at.step - (at.num_steps - c)
    return 1.0 if into < 0 else (c - 1 - into) / c


def half_wave(progress: float) -> float:
    """½(1+cos(π·progress)): from 1 at progress 0 to 0 at progress 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def cosine_decay(step: int, w: int, num_steps: int) -> float:
    """½(1+cos(π(s−w+1)/(S−w)))."""
    return half_wave((step - w + 1) / (num_steps - w))


def rsqrt_decay(step: int, w: int, num_steps: int) -> float:
    """√(w/s)."""
    return math.sqrt(w / step)


def constant(at: fomo.Position, warmup: float = 0.1) -> float:
    """Warm-up, then the peak η_t to the end of the task."""
    w = steps_of("warmup", warmup, at.num_steps)
    return rising(at, w) if at.step < w else at.peak


@decaying(cosine_decay, ends=True)
def cosine(at: fomo.Position, warmup: float = 0.1) -> float:
    """Warm-up, then ½(1+cos(π(s−w+1)/(S−w))) (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    w = steps_of("warmup", warmup, at.num_steps)
    return rising(at, w) if at.step < w else between(at, cosine_decay(at.step, w, at.num_steps))


@decaying(rsqrt_decay, ends=False)
def rsqrt(at: fomo.Position, warmup: float = 0.1, cooldown: float = 0.1) -> float:
    """Warm-up, √(w/s), and in the cool-down this rate times (c−1−(s−(S−c)))/c (Zhai et al. 2022, arXiv 2106.04560)."""
    w, c = warm_and_cool(at.num_steps, warmup, cooldown)
    check_warm("rsqrt", w)
    return rising(at, w) if at.step < w else between(at, rsqrt_decay(at.step, w, at.num_steps)) * falling(at, c)


def wsd(at: fomo.Position, warmup: float = 0.1, cooldown: float = 0.1) -> float:
    """Warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395): η_t, in the cool-down times (c−1−(s−(S−c)))/c."""
    w, c = warm_and_cool(at.num_steps, warmup, cooldown)
    return rising(at, w) if at.step < w else at.peak * falling(at, c)


def power(
    at: fomo.Position, warmup: float = 0.1, cooldown: float = 0.1, a: float | None = None, b: float = -0.51
) -> float:
    """Power (Shen et al. 2024, arXiv 2408.13359): min(η, β·a·n^b), β samples a step, n samples seen in the whole run.

    Each task warms up to the law's value at the warm-up's end and cools down over c steps, by an equal factor each, to
    η_min. Differs from the paper in that samples are counted, not tokens: with texts of L tokens their a is a·L^b. The
    paper's a = 4.6 never binds at CLIP's small peaks.

    Args:
        at: the step's position in the run.
        warmup: share of the task's steps that are warm-up, above 0.
        cooldown: share of the task's steps that are cool-down.
        a: factor of the law, above 0; with ``None`` the law meets η at the end of the first warm-up.
        b: exponent of the law, -10 to 0.

    Raises:
        FomoError: a setting out of range, a task shorter than warm-up and cool-down, a rate that the size of the batch
            multiplies once more.
    """
    w, c = warm_and_cool(at.num_steps, warmup, cooldown)
    check_warm("power", w)
    if at.rescaled:
        raise fomo.FomoError("schedule=power has the batch's size in it: with it give batch_scaling.rule=none.")
    if (a is not None and not a > 0) or not -10 <= b <= 0:
        raise fomo.FomoError(f"schedule.a={a}, schedule.b={b}: a is above 0 or null, b is -10 to 0.")
    count = at.seen or (lambda steps: steps * at.batch_size)
    start = at.start if at.seen else at.task * at.num_steps

    def law(step: int) -> float:
        seen = count(start + step + 1)
        size = seen - count(start + step)
        if a is not None:
            return min(at.peak, size * a * seen**b)
        first = count(w) - count(w - 1)
        return min(at.peak, at.peak * (seen / count(w)) ** b * (size / first))

    if at.step < w:
        return law(w - 1) * (at.step + 1) / w
    last = at.num_steps - c - 1
    if at.step <= last:
        return law(at.step)
    return law(last) * (at.floor / law(last)) ** ((at.step - last) / c)


def check_warm(name: str, w: int) -> None:
    """Refuse a warm-up of no steps for the schedule ``name``, whose decay measures time in warm-ups."""
    if w < 1:
        raise fomo.FomoError(f"schedule={name} decays from the end of the warm-up: give schedule.warmup above 0.")


class ScheduleRow(NamedTuple):
    """A row of :data:`SCHEDULES` or of ``META_SCHEDULES``.

    ``formula`` is the rate after the warm-up, or how a meta-schedule changes it after the first task.
    """

    function: Callable[..., float]
    formula: str
    cooldown: str = "–"
    papers: Papers = ()


SCHEDULES = {
    "constant": ScheduleRow(constant, "η_t"),
    "cosine": ScheduleRow(cosine, "½(1+cos(π(s−w+1)/(S−w)))", papers=(PAPERS["cosine"],)),
    "rsqrt": ScheduleRow(rsqrt, "√(w/s)", "linear to 0", (PAPERS["rsqrt"],)),
    "wsd": ScheduleRow(wsd, "η_t", "linear to 0", (PAPERS["wsd"],)),
    "power": ScheduleRow(
        power,
        "min(η, β·a·n^b), n samples seen in the whole run, β a step; `a=null` meets η after the first warm-up",
        "by equal factors to η_min",
        (PAPERS["power"],),
    ),
}
