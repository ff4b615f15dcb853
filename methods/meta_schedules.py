"""Learning rate across tasks: how the schedules of tasks are tied together (PROTOCOL, meta-schedules).

Each is a pure function of a schedule and of the position, tasks t from 0, whose ``peak`` is the run's η. The first task
is the plain schedule. Multipliers act on (η − η_min); w, c, S are the schedule's own. After Roth et al. 2024 (arXiv
2408.14471), section on meta learning-rate schedules; d(s, w, S) is the decay that the schedule declares
(``schedules.py``), and the formulas are what it comes to for cosine and rsqrt.
"""

import inspect
from dataclasses import replace

import fomo
from methods.schedules import (
    SCHEDULES,
    Decay,
    Schedule,
    ScheduleRow,
    between,
    decay_of,
    falling,
    function_of,
    rising,
    warm_and_cool,
)


def independent(schedule: Schedule, at: fomo.Position) -> float:
    """Every task has the same peak: η_t = η."""
    return schedule(at)


def autoregressive(schedule: Schedule, at: fomo.Position) -> float:
    """The peak of task t is where a schedule over all tasks so far would be: d(tS+w, (t+1)w, (t+1)S), t > 0.

    cosine: ½(1+cos(π·(t(S−w)+1)/((t+1)(S−w)))). rsqrt: √((t+1)w/(tS+w)).
    """
    decay = _declared("autoregressive", schedule)
    if at.task == 0:
        return schedule(at)
    w, _ = _warm_and_cool(schedule, at)
    return schedule(replace(at, peak=between(at, _autoregressive_peak(decay, at, w))))


def dynamic(schedule: Schedule, at: fomo.Position) -> float:
    """Warm-up to autoregressive's peak, then the plain schedule over (t+1)·S steps at position t·S + s."""
    decay = _declared("dynamic", schedule, ends=True)
    if at.task == 0:
        return schedule(at)
    w, _ = _warm_and_cool(schedule, at)
    if at.step < w:
        return rising(replace(at, peak=between(at, _autoregressive_peak(decay, at, w))), w)
    return schedule(replace(at, step=at.task * at.num_steps + at.step, num_steps=(at.task + 1) * at.num_steps))


def continued(schedule: Schedule, at: fomo.Position) -> float:
    """The peak of task t is where the decay would be without warm-ups and cool-downs: d(w + t(S−c−w), w), t > 0.

    rsqrt: √(w/(t(S−c) − (t−1)w)).
    """
    decay = _declared("continued", schedule, ends=False)
    if at.task == 0:
        return schedule(at)
    w, c = _warm_and_cool(schedule, at)
    multiplier = decay.multiplier(w + at.task * (at.num_steps - c - w), w, at.num_steps)
    return schedule(replace(at, peak=between(at, multiplier)))


def recovered(schedule: Schedule, at: fomo.Position) -> float:
    """The decay runs on: d(s + t(S−c−w), w), after a warm-up to d(t(S−c−w), w), at most 1, t > 0.

    rsqrt: √(w/(s + t(S−c−w))), after a warm-up to √(w/(t(S−c−w))).

    Raises:
        FomoError: no step of a task is between its warm-up and its cool-down.
    """
    decay = _declared("recovered", schedule, ends=False)
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
        peak = between(at, min(1.0, decay.multiplier(decayed, w, at.num_steps)))
        return rising(replace(at, peak=peak), w)
    return between(at, decay.multiplier(at.step + decayed, w, at.num_steps)) * falling(at, c)


def _autoregressive_peak(decay: Decay, at: fomo.Position, w: int) -> float:
    if decay.ends and w >= at.num_steps:
        raise fomo.FomoError(
            f"meta_schedule: a decay that is tied across tasks needs steps after its warm-up; {w} of {at.num_steps} "
            "steps a task are warm-up. Lower schedule.warmup, give more steps, or meta_schedule=independent."
        )
    num_tasks = at.task + 1
    return decay.multiplier(at.task * at.num_steps + w, num_tasks * w, num_tasks * at.num_steps)


def _declared(meta: str, schedule: Schedule, ends: bool | None = None) -> Decay:
    """The decay that a schedule declares; refuse one that declares none, or one that does not end as ``ends`` asks."""
    decay = _fitting(schedule, ends)
    if decay is None:
        allowed = [name for name, row in SCHEDULES.items() if _fitting(row.function, ends)]
        function = function_of(schedule)
        name = getattr(function, "__name__", str(function))
        raise fomo.FomoError(
            f"meta_schedule={meta} continues the decay of schedule={' or '.join(allowed)} from task to task; "
            f"schedule={name} has no such form. Take schedule={allowed[0]}, or meta_schedule=independent."
        )
    return decay


def _fitting(schedule: Schedule, ends: bool | None) -> Decay | None:
    decay = decay_of(schedule)
    return decay if decay is not None and ends in (None, decay.ends) else None


def _warm_and_cool(schedule: Schedule, at: fomo.Position) -> tuple[int, int]:
    """The steps w and c that the schedule's settings ``warmup`` and ``cooldown`` ask for; 0 for one that it lacks."""
    settings = inspect.signature(schedule).parameters
    warmup, cooldown = (settings[key].default if key in settings else 0.0 for key in ("warmup", "cooldown"))
    return warm_and_cool(at.num_steps, warmup, cooldown)


META_SCHEDULES = {
    "independent": ScheduleRow(independent, "the plain schedule"),
    "autoregressive": ScheduleRow(autoregressive, "peak at ½(1+cos(π(t(S−w)+1)/((t+1)(S−w)))), or √((t+1)w/(tS+w))"),
    "dynamic": ScheduleRow(dynamic, "warm-up to autoregressive's peak, then one cosine over (t+1)·S steps at t·S + s"),
    "continued": ScheduleRow(continued, "peak at √(w/(t(S−c) − (t−1)w))"),
    "recovered": ScheduleRow(recovered, "√(w/(s + t(S−c−w))), after a warm-up to √(w/(t(S−c−w))), at most 1"),
}
