"""Learning rate across tasks: how the schedules of tasks are tied together (PROTOCOL, meta-schedules).

Each is a pure function of a schedule and of the position, tasks t from 0, whose ``peak`` is the run's η. The first task
is the plain schedule. Multipliers act on (η − η_min); w, c, S are the schedule's own. After Roth et al. 2024 (arXiv
2408.14471), section on meta learning-rate schedules.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import fomo
from fomo import Position
from methods.schedules import between, cosine, falling, half_wave, rising, rsqrt, steps_of, warm_and_cool

Schedule = Callable[[Position], float]


def independent(schedule: Schedule, at: Position) -> float:
    """Every task has the same peak: η_t = η."""
    return schedule(at)


def autoregressive(schedule: Schedule, at: Position) -> float:
    """The peak of task t is where a schedule over all tasks so far would be, t > 0.

    cosine: ½(1+cos(π·(t(S−w)+1)/((t+1)(S−w)))). rsqrt: √((t+1)w/(tS+w)).
    """
    kind = _kind("autoregressive", schedule, (cosine, rsqrt))
    if at.task == 0:
        return schedule(at)
    w, _ = _warm_and_cool(schedule, at)
    multiplier = _cosine_peak(at, w) if kind is cosine else math.sqrt((at.task + 1) * w / (at.task * at.num_steps + w))
    return schedule(replace(at, peak=between(at, multiplier)))


def dynamic(schedule: Schedule, at: Position) -> float:
    """Warm-up to autoregressive cosine's peak, then the plain cosine over (t+1)·S steps at position t·S + s."""
    _kind("dynamic", schedule, (cosine,))
    w, _ = _warm_and_cool(schedule, at)
    if at.task == 0:
        return schedule(at)
    if at.step < w:
        return rising(replace(at, peak=between(at, _cosine_peak(at, w))), w)
    whole = replace(at, step=at.task * at.num_steps + at.step, num_steps=(at.task + 1) * at.num_steps)
    return schedule(whole)


def continued(schedule: Schedule, at: Position) -> float:
    """The peak of task t is where the decay would be without warm-ups and cool-downs: √(w/(t(S−c) − (t−1)w)), t > 0."""
    _kind("continued", schedule, (rsqrt,))
    if at.task == 0:
        return schedule(at)
    w, c = _warm_and_cool(schedule, at)
    multiplier = math.sqrt(w / (at.task * (at.num_steps - c) - (at.task - 1) * w))
    return schedule(replace(at, peak=between(at, multiplier)))


def recovered(schedule: Schedule, at: Position) -> float:
    """The decay runs on: √(w/(s + t(S−c−w))), after a warm-up to √(w/(t(S−c−w))), at most 1, t > 0."""
    _kind("recovered", schedule, (rsqrt,))
    if at.task == 0:
        return schedule(at)
    w, c = _warm_and_cool(schedule, at)
    decayed = at.task * (at.num_steps - c - w)
    if decayed < 1:
        raise fomo.FomoError(
            f"meta_schedule=recovered: {at.num_steps} steps a task leave none between warm-up and cool-down. "
            "Give more steps, or meta_schedule=continued."
        )
    if at.step < w:
        return rising(replace(at, peak=between(at, min(1.0, math.sqrt(w / decayed)))), w)
    return between(at, math.sqrt(w / (at.step + decayed))) * falling(at, c)


def _cosine_peak(at: Position, w: int) -> float:
    if w >= at.num_steps:
        raise fomo.FomoError(
            f"meta_schedule: a cosine that is tied across tasks needs steps after its warm-up; {w} of {at.num_steps} "
            "steps a task are warm-up. Lower schedule.warmup, give more steps, or meta_schedule=independent."
        )
    return half_wave((at.task * (at.num_steps - w) + 1) / ((at.task + 1) * (at.num_steps - w)))


def _kind(meta: str, schedule: Schedule, allowed: tuple[Callable[..., float], ...]) -> Callable[..., float]:
    """The function below a schedule's settings; refuse one that the meta-schedule has no form for."""
    function = schedule.func if isinstance(schedule, partial) else schedule
    if function not in allowed:
        names = " or ".join(each.__name__ for each in allowed)
        name = getattr(function, "__name__", str(function))
        raise fomo.FomoError(
            f"meta_schedule={meta} continues the decay of schedule={names} from task to task; schedule={name} has no "
            f"such form. Take schedule={allowed[0].__name__}, or meta_schedule=independent."
        )
    return function


def _warm_and_cool(schedule: Schedule, at: Position) -> tuple[int, int]:
    """w and c as the schedule's settings give them; c is 0 where it has no cool-down."""
    settings: dict[str, Any] = {name: p.default for name, p in inspect.signature(schedule).parameters.items()}
    if "cooldown" in settings:
        return warm_and_cool(at.num_steps, settings["warmup"], settings["cooldown"])
    return steps_of("warmup", settings["warmup"], at.num_steps), 0
