"""The rows of many methods: counted side by side, measured on the device one at a time; one that fails loses no other.

A row is plain values, as :meth:`fomo.planning.table.BudgetRow.to_json` has them, beside them what was measured,
``measured_peak_memory_gib`` and ``measured_to_planned`` (``None``: nothing was), ``evaluation``, what the run is
scored on, and ``problem``, which says what failed (``None``: nothing); where machines are given, ``estimates``, as
:func:`fomo.planning.scale.estimates` has them.
One that could not be counted has ``method``, ``label`` and ``problem`` alone.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from fomo.config.factory import stream_plan
from fomo.config.schema import Config, resolve
from fomo.errors import FomoError, WorkerDied
from fomo.evaluation.cost import evaluation_cost
from fomo.planning.machines import Machines
from fomo.planning.measured import on_gpu, peak_bytes
from fomo.planning.scale import Work
from fomo.planning.table import GIB, BudgetRow, row
from fomo.planning.work import scored_cards, work_of
from fomo.stream.definition import StreamNames
from fomo.system.apart import apart
from fomo.system.text import first_line
from fomo.system.workers import num_cores, runner

MEASURING_SECONDS = 600.0
Values = Mapping[str, Any]
Row = dict[str, Any]
Measure = Callable[[Values], int]
"""Bytes at the peak of a configuration; called in a process of its own."""


def measures_of(jobs: Sequence[Values]) -> list[Measure | None]:
    """How each configuration is measured: on its GPU, or not at all.

    Raises:
        FomoError: torch cannot use a device.
    """
    return [peak_on_gpu if on_gpu(values["runtime"]["device"]) else None for values in jobs]


def survey(
    jobs: Sequence[Values], measures: Sequence[Measure | None], machines: Machines | None = None
) -> Generator[Row, None, None]:
    """A row for each configuration, in order, as soon as it is counted and measured.

    Args:
        jobs: Plain values of configurations.
        measures: How each is measured; ``None``: not at all.
        machines: Those that estimates are for.

    Raises:
        FomoError: a configuration makes no sense; or it is the only one, and cannot be counted.
    """
    for values in jobs:
        resolved = resolve(without_device(values))  # what is wrong with any is said before the first is counted
        if machines:
            machines.check(values, resolved.config)
    with closing(_counted(jobs, machines is not None)) as counted:
        for values, measure, found in zip(jobs, measures, counted, strict=True):
            work = found.pop("work", None)
            if measure and found["problem"] is None:
                found |= measured(values, found["peak_memory_gib"], measure)
            if machines and work:
                found |= _estimated(values, machines, work, found["problem"])
            yield found


def _estimated(values: Values, machines: Machines, work: Work, problem: str | None) -> Row:
    """The estimates of a row, or why there are none."""
    try:
        return {"estimates": machines.estimated(values, work)}
    except FomoError as error:
        return {"estimates": None, "problem": problem or f"not estimated: {error}"}


def without_device(values: Values) -> dict[str, Any]:
    """The same configuration on the CPU: a plan depends on no device, and what is to be measured there has it alone."""
    return {**values, "runtime": {**values["runtime"], "device": "cpu"}}


def _counted(jobs: Sequence[Values], with_work: bool) -> Generator[Row, None, None]:
    """The rows without measurements, counted by a process per core, one by one where such a process was killed."""
    if len(jobs) == 1:
        yield count(jobs[0], with_work)
        return
    attempt = partial(_attempt, with_work=with_work)
    done = 0
    try:
        with runner(min(len(jobs), num_cores())) as run:
            for found in run(attempt, jobs):
                done += 1
                yield found
    except WorkerDied:
        for values in jobs[done:]:
            try:
                yield apart(attempt, values)
            except FomoError as error:
                yield _uncounted(values, error)


def _attempt(values: Values, with_work: bool = False) -> Row:
    try:
        return count(values, with_work)
    except Exception as error:  # whatever a guest's code raises; it must not take the other rows with it
        return _uncounted(values, error)


def _uncounted(values: Values, error: Exception) -> Row:
    said = str(error) if isinstance(error, FomoError) else f"{type(error).__name__}: {first_line(error)}"
    return {"method": values["label"].split()[0], "label": values["label"], "problem": f"not counted: {said}"}


def count(values: Values, with_work: bool = False) -> Row:
    """One row, not measured; ``with_work``: with its ``work``, a :class:`fomo.planning.scale.Work`.

    Raises:
        FomoError: it cannot be rehearsed.
    """
    config = resolve(without_device(values)).config
    num_samples, names = _stream(config)
    # |D_t| is taken as equal for all tasks: a run plans with the real sizes.
    found = row(config, lambda num_tasks: max(1, round(num_samples / num_tasks)), names)
    work = {"work": work_of(config, found, values["runtime"].get("strategy", "ddp"))} if with_work else {}
    unmeasured = {"measured_peak_memory_gib": None, "measured_to_planned": None, "problem": None}
    return found.to_json() | _evaluation(config, found) | unmeasured | work


def _evaluation(config: Config, found: BudgetRow) -> Row:
    """What the evaluations of the run come to, and how many of its datasets are not here."""
    cards, absent = scored_cards(config)
    cost = evaluation_cost(cards, config.evaluation, found.plans[config.num_tasks].steps)
    counts = {"num_evaluations": cost.num_evaluations, "run_images": cost.run_images, "absent": absent}
    counts |= {"num_tasks": config.num_tasks}
    return {"evaluation": cost._asdict() | counts | {"said": str(cost)}}


def _stream(config: Config) -> tuple[int, StreamNames]:
    """The number of training samples of all tasks, and what rows are from."""
    plan = stream_plan(config)
    names = StreamNames((*plan.adaptation, *plan.pool_datasets), (tuple(plan.concepts),))
    return plan.num_training_samples(), names


def measured(values: Values, planned: float, measure: Measure) -> Row:
    """The part of a row that a measurement fills in, made in a process that has ended by now.

    Args:
        values: The configuration.
        planned: GiB that it is planned with.
        measure: How it is measured.
    """
    try:
        found = apart(measure, values, MEASURING_SECONDS) / GIB
    except FomoError as error:
        return {"problem": f"not measured: {error}"}
    return {"measured_peak_memory_gib": found, "measured_to_planned": found / planned}


def peak_on_gpu(values: Values) -> int:
    """Bytes at the peak on the GPU of the configuration, by :func:`fomo.planning.measured.peak_bytes`."""
    config = resolve(values).config
    return peak_bytes(config, _stream(config)[1].in_tasks(config.num_tasks))
