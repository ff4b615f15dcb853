"""The ledger: every phase of a run is charged under the same counter that planned it, and no step beyond the plan.

Counting every operation of every step would cost time, so a step is counted when its kind is new (task, shape, first
or later step), at each task's first, second and last step, and at seeded steps in between; the others are charged what
their kind costs. Hooks outside of steps are always counted. Another cost than the known one is an error.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from fomo import rng
from fomo.batch import Batch
from fomo.budget.cost import Cost
from fomo.budget.flops import NOTHING, FlopMeter, Flops, Meter, Phases, charged, unmetered
from fomo.budget.memory import allocator_peak, forget_allocator_peak
from fomo.budget.plan import StepPlan, shares
from fomo.errors import FomoError
from fomo.results.ledger import GIGA, LedgerFile, Spent, TaskSpent
from fomo.stream.batch_sizes import Stretch
from fomo.stream.pools import POOLS
from fomo.system.ranks import exchanged, own_share, world

CHECKED_SHARE = 0.02
"""Share of the steps in between that are counted again."""
TOLERATED = 0.001
"""Share of the planned peak that a part may hold beyond its plan: scalars and the like."""
DRIVER_SHARE = 1.25
DRIVER_BYTES = 2**30
"""What the allocator's peak may be of the planned one, and beyond it: workspaces inside kernels are not planned."""


class Ledger:
    """FLOPs planned and charged, by phase and task, and samples seen per pool. Nothing depends on time or machine."""

    def __init__(self, plan: StepPlan, seed: int, begin_run: Phases | None = None) -> None:
        self.plan = plan
        self._seed = seed
        self.steps = [0] * len(plan.steps)
        self.lost = [0] * len(plan.steps)
        self.phases: list[dict[str, Flops]] = [{} for _ in plan.steps]
        self.samples = dict.fromkeys(POOLS, 0)
        self._known: dict[tuple[Any, ...], Phases] = {}
        self._begun = 0
        self._refresh_every: int | None = None
        self.recomputed = 0
        self._settle(1, "at the start of the run", begin_run or {}, lambda cost: cost.begin_run)

    @contextmanager
    def hooks(self, task: int, when: str) -> Iterator[Meter]:
        """Hooks ``when`` = "begin" or "end" of a task."""
        meter = FlopMeter()
        yield meter
        self._settle(task, f"at the {when} of the task", meter.phases, lambda cost: getattr(cost.tasks[task - 1], when))

    def check_memory(self, task: int, when: Literal["begin", "end"], found: Mapping[str, int]) -> None:
        """Compare the bytes that parts hold and the network has after the hooks ``when`` of a task with the plan.

        On a GPU the allocator's peak since the task's begin is compared too, where a part has declared what it costs.

        Raises:
            FomoError: a part holds more than it pays for; less is no fault.
        """
        cost = self.plan.cost
        if cost is None:
            return
        for name, planned in cost.tasks[task - 1].held.get(when, {}).items():
            if found[name] > planned + TOLERATED * cost.peak_bytes:
                raise FomoError(
                    f"task {task}, after the hooks at its {when}: {name} holds {found[name]:,} bytes on the device, "
                    f"planned were {planned:,}. Let `held_bytes` give what a part holds after a hook that declares its "
                    f"`flops`; set `grows_with_tasks` if it holds more with every task; make what is to lie in the "
                    f"host's memory under fomo.host_memory()."
                )
        peak = allocator_peak() if when == "end" and task == self._begun else None
        if cost.declared and peak is not None and peak > DRIVER_SHARE * cost.peak_bytes + DRIVER_BYTES:
            raise FomoError(
                f"task {task}: {peak:,} bytes were allocated on the GPU at the peak, planned were {cost.peak_bytes:,}. "
                f"Let `held_bytes` give what {', '.join(sorted(cost.declared))} takes."
            )
        self._begun = task if when == "begin" else 0
        forget_allocator_peak()

    def follow(self, refresh_every: int | None) -> None:
        """Know, where nothing was rehearsed, the period of steps that cost what the first one does, from here on."""
        self._refresh_every = refresh_every

    def meter(self, task: int, step: int, batch: Batch) -> Meter:
        """The meter of a step about to be taken (tasks from 1, steps from 0). It counts if the kind is to be counted.

        Raises:
            FomoError: the task's steps are spent.
        """
        if self.steps[task - 1] >= self.plan.steps[task - 1]:
            raise FomoError(f"task {task}: the {self.plan.steps[task - 1]} steps that the budget affords are spent.")
        kind = self._kind(task, step, batch)
        return FlopMeter() if kind not in self._known or self._is_checked(task, step) else unmetered

    def charge(
        self,
        task: int,
        step: int,
        batch: Batch,
        meter: Meter,
        num_lost: int = 0,
        left_out: Sequence[str] = (),
    ) -> None:
        """Charge a step that was taken.

        Args:
            task: The task's number, from 1.
            step: The step of the task, from 0.
            batch: The step's batch; its rows are counted by pool.
            meter: What :meth:`meter` returned for the step, and the step was taken under.
            num_lost: Steps without effect, since this one was not finite; 0 if it was.
            left_out: Phases that it has ended before: names of hooks, and ``optimizer``.

        Raises:
            FomoError: the step costs something else than its kind is known to cost.
        """
        kind = self._kind(task, step, batch)
        when = f"in step {step}{', which is lost' if num_lost else ''}"

        def of_step(cost: Cost) -> Phases:
            return without(cost.tasks[task - 1].step(batch.num_rows, first=kind[1]), left_out)

        if isinstance(meter, FlopMeter):
            known = self._known.get(kind)
            self._settle(task, when, meter.phases, of_step, known and without(known, left_out))
            if not num_lost:  # a step that has ended early is no measure of its kind
                self._known.setdefault(kind, meter.phases)
        else:
            self._charge(task, without(self._known[kind], left_out), of_step)
        self.lost[task - 1] += num_lost
        self.steps[task - 1] += 1
        for pool, count in zip(POOLS, batch.whole, strict=True):
            self.samples[pool] += count

    def _kind(self, task: int, step: int, batch: Batch) -> tuple[Any, ...]:
        """What steps of one cost have in common: task, whether it costs what the first does, shapes, rows by pool."""
        applied = self.applied(task, step)
        refreshes = self.plan.cost is None and self._refresh_every is not None and applied % self._refresh_every == 0
        first = self.plan.is_first_kind(applied) or refreshes
        shapes = (tuple(batch.images.shape), tuple(batch.tokens.shape))
        return (task, first, *shapes, batch.counts, batch.whole)

    def applied(self, task: int, step: int) -> int:
        """Steps that the state before ``step`` rests on: those whose effect was not lost."""
        return step - self.lost[task - 1]

    def _is_checked(self, task: int, step: int) -> bool:
        if step in (0, 1, self.plan.steps[task - 1] - 1):
            return True
        return rng.generator(self._seed, "ledger", task, step).random() < CHECKED_SHARE

    def _settle(
        self, task: int, when: str, phases: Phases, of: Callable[[Cost], Phases], known: Phases | None = None
    ) -> None:
        """Charge what was counted; refuse it where it is not what was planned, or else what is ``known`` of its kind.

        ``of`` gives the part of a cost that it is.
        """
        plan = self.plan
        cost = plan.recomputed.computed if plan.cost and plan.recomputed else plan.cost
        planned = of(cost) if cost else known
        told = self._told(of)
        for name in {**phases, **(planned or {})} if planned is not None else ():
            now, then = (each.get(name, NOTHING).charged for each in (phases, planned or {}))
            if now > then if name in told else now != then:
                raise FomoError(
                    f"task {task}, {when}: {name} cost {now / GIGA:.9g} GFLOPs, planned were {then / GIGA:.9g}. A part "
                    f"has to cost the same in every step of a task, and its hooks what they cost in the rehearsal."
                )
        self._charge(task, phases, of)

    def _charge(self, task: int, phases: Phases, of: Callable[[Cost], Phases]) -> None:
        """Charge what was counted, but for what is computed a second time to save memory."""
        surplus = dict(self.plan.recomputed.surplus(of)) if self.plan.recomputed else {}
        for name, flops in self._told(of).items():
            surplus[name] = phases.get(name, NOTHING).plus(flops, times=-1)
        self.recomputed += charged(surplus)
        of_task = self.phases[task - 1]
        for name in {**phases, **surplus}:
            paid = phases.get(name, NOTHING).plus(surplus.get(name, NOTHING), times=-1)
            of_task[name] = of_task.get(name, NOTHING).plus(paid)

    def _told(self, of: Callable[[Cost], Phases]) -> Phases:
        """What parts have declared for all rows, of which this rank has some; empty where it has all."""
        plan = self.plan
        cost = plan.cost or (plan.recomputed and plan.recomputed.charged)
        if cost is None or world().size == 1:
            return {}
        return {name: flops for name, flops in of(cost).items() if name in cost.declared}

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on has to know; which steps are counted is the same with it, wherever a run was cut."""
        return {
            "steps": list(self.steps),
            "lost": list(self.lost),
            "phases": [dict(phases) for phases in self.phases],
            "samples": dict(self.samples),
            "recomputed": exchanged(self.recomputed),
            "known": [(kind, dict(phases)) for known in exchanged(self._known) for kind, phases in known.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.steps = state["steps"]
        self.lost = state["lost"]
        self.samples = state["samples"]
        self.recomputed = own_share(state["recomputed"])
        self.phases = [_flops_of(phases) for phases in state["phases"]]
        self._known = {kind: _flops_of(phases) for kind, phases in state["known"]}

    @property
    def charged_flops(self) -> int:
        """FLOPs of the whole run so far."""
        return sum(charged(phases) for phases in self.phases)

    def spent(self) -> dict[str, float]:
        """GFLOPs of the whole run so far, and MAFs where memory is planned."""
        return {
            name: value
            for name, value in (("gflops", self.charged_flops / GIGA), ("mafs", self._mafs(self.charged_flops)))
            if value is not None
        }

    def to_file(self) -> LedgerFile:
        """What ``ledger.json`` holds. FLOPs are integers, MAFs are in GFLOPs."""
        plan = self.plan
        numbers = range(1, len(self.steps) + 1)
        return LedgerFile(
            unit=plan.budget.unit,
            total=plan.budget.total,
            rounding=plan.budget.rounding,
            caveats=(*plan.budget.caveats, *plan.caveats),
            memory={
                "multiplier": float(plan.memory.multiplier),
                "peak_bytes": plan.memory.peak_bytes,
                "full_fine_tuning_bytes": plan.memory.reference_bytes,
                "precision": plan.memory.precision,
            }
            if plan.memory
            else None,
            planned=self._spent(sum(plan.steps), sum(map(plan.flops, numbers)) if plan.cost else None),
            charged=self._spent(sum(self.steps), self.charged_flops),
            lost_steps=sum(self.lost),
            left=self._left(),
            tasks={str(number): self._task(number) for number in numbers},
            phases=self._by_phase(),
            samples=self.samples,
            batch_sizes={str(number): stretches[0].size for number, stretches in self._decided() if stretches},
        )

    def _decided(self) -> list[tuple[int, list[Stretch]]]:
        """The steps of each task, where their size was decided at the end of the task before; else nothing."""
        sizes = self.plan.sizes
        return list(enumerate(sizes.of_tasks(self.plan.steps), start=1)) if sizes.rungs else []

    def _spent(self, steps: int, flops: int | None) -> Spent:
        return Spent(steps, flops, None if flops is None else self._mafs(flops))

    def _mafs(self, flops: int) -> float | None:
        return float(flops * self.plan.memory.multiplier / GIGA) if self.plan.memory else None

    def _left(self) -> float | int:
        """Of the budget, in its own unit; for seconds, the steps of the plan that were not taken."""
        budget = self.plan.budget
        if budget.needs_rehearsal:
            return float((shares(budget, 1) - self.charged_flops * self.plan.multiplier) / GIGA)
        if budget.unit == "wall_seconds":
            return sum(self.plan.steps) - sum(self.steps)
        return budget.total - (sum(self.samples.values()) if budget.unit == "samples" else sum(self.steps))

    def _task(self, number: int) -> TaskSpent:
        planned = self.plan.flops(number) if self.plan.cost else None
        phases = self.phases[number - 1]
        return TaskSpent(
            planned=self._spent(self.plan.steps[number - 1], planned),
            charged=self._spent(self.steps[number - 1], charged(phases)),
            phases={name: flops.charged for name, flops in phases.items()},
        )

    def _by_phase(self) -> dict[str, int]:
        names = dict.fromkeys(name for phases in self.phases for name in phases)
        return {name: sum(p.get(name, NOTHING).charged for p in self.phases) for name in names}


def without(phases: Phases, left_out: Sequence[str]) -> Phases:
    """What a step spends that has ended before some of its phases: names of hooks, and ``optimizer``."""
    return {name: flops for name, flops in phases.items() if name.split(".")[-1] not in left_out}


def _flops_of(phases: Mapping[str, tuple[int, int]]) -> dict[str, Flops]:
    return {name: Flops(*flops) for name, flops in phases.items()}
