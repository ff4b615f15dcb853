"""What a method costs, found by rehearsing it on fake tensors: its own hooks in the loop's own step, no computation.

Two steps are rehearsed; the second is taken for all later ones of its task, except where the optimizer says that it
refreshes something every so often. Three tasks are; the third is taken for all later ones if it costs what the second
does, else every task is rehearsed. The ledger counts the real steps again and refuses any other cost.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fomo.batch import Batch
from fomo.budget.arithmetic import Arithmetic
from fomo.budget.cost import Cost, TaskCost
from fomo.budget.flops import FlopMeter, Flops, Phases
from fomo.budget.memory import PeakMemory, fake_copy, mixed_precision, norm_in_full_precision
from fomo.errors import FomoError
from fomo.method import Method, PeriodicOptimizer, Task, UpdateBatches
from fomo.model.clip import train_mode
from fomo.stream.mixture import Counts
from fomo.training.methods import Methods
from fomo.training.step import Learner, MakeOptimizer


@dataclass(frozen=True)
class Setting:
    """What is to be rehearsed. ``network`` may be on the meta device; it is not changed."""

    network: nn.Module
    make_parts: Callable[[], dict[str, Method]]
    make_optimizer: MakeOptimizer
    max_grad_norm: float
    max_logit_scale: float | None
    mixed_precision: bool
    image_size: int
    kinds: Callable[[int], Sequence[Counts]]
    """Of a task, the counts of P, D and B that a batch may have."""
    num_samples: Sequence[int]
    """|D_t| of every task."""
    seed: int
    micro_batch: int | None = None

    @property
    def num_tasks(self) -> int:
        """Update steps of the stream."""
        return len(self.num_samples)


class _Rehearsed(Methods):
    """Parts whose hooks run on fake tensors, or are declared."""

    declare: Callable[[str, int], None]

    def call(self, name: str, hook: str, *arguments: Any) -> Any:
        """Run the hook; one that cannot run is asked for its FLOPs, and is not run then."""
        part, task = self.parts[name], next((each for each in arguments if isinstance(each, Task)), None)
        declared = part.flops(hook, arguments[0], task)
        if declared is not None:
            self.declare(f"{name}.{hook}", declared)
            return {"loss": arguments[-1], "deployed": nullcontext()}.get(hook)
        try:
            return super().call(name, hook, *arguments)
        except FomoError:
            raise
        except Exception as error:  # whatever a plug-in's code raises
            raise FomoError(
                f"{name}.{hook} ({type(part).__name__}) failed while it was rehearsed on fake tensors, to count its "
                f"FLOPs: {type(error).__name__}: {error}. If it reads values, masks by them or uses files, let its "
                f"method `flops` give what it costs."
            ) from error


class _Rehearsal:
    def __init__(self, setting: Setting, fake: FakeTensorMode, memory: PeakMemory) -> None:
        self.setting, self.memory, self.meter = setting, memory, FlopMeter()
        self.arithmetic, self.refresh_every = 0, cast("int | None", None)
        self._went_through, self.by_size = False, cast("dict[int, TaskCost]", {})
        network, self.methods = fake_copy(setting.network, fake), _Rehearsed(setting.make_parts())
        for tensor in (*network.parameters(), *network.buffers()):
            memory.add(tensor)
        precision = mixed_precision if setting.mixed_precision else nullcontext
        self.learner = Learner(
            network,
            self.methods,
            setting.make_optimizer,
            setting.max_grad_norm,
            setting.max_logit_scale,
            precision,
            setting.micro_batch,
        )

    @contextmanager
    def phases(self) -> Iterator[dict[str, Flops]]:
        """What is spent inside."""
        self.meter = self.methods.meter = FlopMeter()
        self.methods.declare = self.meter.declare
        yield self.meter.phases

    def begin_run(self) -> Phases:
        with self.phases() as phases:
            self.learner.methods.begin_run(self.learner.network, self.setting.seed)
        return phases

    def task(self, number: int, like: TaskCost | None = None, hooks_only: bool = False) -> TaskCost:
        """Hooks and two steps of a task; one step if it costs what the first one of the task ``like`` does."""
        setting, network, methods = self.setting, self.learner.network, self.learner.methods
        size = setting.num_samples[number - 1]
        once, autocast = self._update_batches(size), self.learner.autocast
        task = Task(number, setting.num_tasks, 2, setting.seed, size, once, autocast)
        with self.phases() as begin:
            methods.begin_task(network, task)
            made = self.learner.optimizer()
        optimizer = None if hooks_only else made
        first = ordinary = None
        if optimizer:
            first = self._step(optimizer, number)
            ordinary = like.ordinary if like and like.first == first else self._step(optimizer, number)
            self._same_for_all_kinds(optimizer, number, ordinary)
        with self.phases() as end:
            methods.end_task(network, task)
            with methods.deployed(network):
                pass
        cost = TaskCost(begin, first, ordinary, end)
        if self._went_through:
            self.by_size[size] = cost
        return cost

    def steady(self, second: TaskCost, third: TaskCost) -> bool:
        """Whether tasks cost the same, the hooks that go through D_t aside."""
        alike = (second.first, second.ordinary) == (third.first, third.ordinary)
        return alike and (bool(self.by_size) or second == third)

    def later_task(self, number: int, second: TaskCost, third: TaskCost) -> TaskCost:
        """A task after the third: like the third if that was like the second, else rehearsed.

        Hooks that go through D_t cost what its size makes them cost: for a size not met yet they alone are rehearsed.
        """
        if not self.steady(second, third):
            return self.task(number)
        size = self.setting.num_samples[number - 1]
        if self.by_size and size not in self.by_size:
            self.task(number, hooks_only=True)
        hooks = self.by_size.get(size, third)
        return replace(third, begin=hooks.begin, end=hooks.end)

    def _same_for_all_kinds(self, optimizer: torch.optim.Optimizer, task: int, ordinary: Phases | None) -> None:
        """Batches of one pool each have to cost the same, since the budget knows one cost of a step."""
        for kind in range(1, len(self.setting.kinds(task))):
            if self._step(optimizer, task, kind) != ordinary:
                raise FomoError(
                    "mixture.batches=unmixed: steps of this method cost differently by the pool of their batch, so a "
                    "budget of FLOPs cannot plan them. Take mixture.batches=mixed, or budget=steps."
                )

    def _step(self, optimizer: torch.optim.Optimizer, task: int, kind: int = 0) -> Phases:
        if isinstance(optimizer, PeriodicOptimizer):
            self.refresh_every = _period(optimizer)
        train_mode(self.learner.network)
        with self.phases() as phases:
            try:
                self.learner.step(optimizer, self._batch(self.setting.kinds(task)[kind]), self._with_arithmetic)
            except FomoError:
                raise
            except Exception as error:  # whatever the optimizer's or the model's code raises
                raise FomoError(
                    f"a step of {type(optimizer).__name__} failed while it was rehearsed on fake tensors, to count its "
                    f"FLOPs: {type(error).__name__}: {str(error).splitlines()[0]} If the optimizer reads values or "
                    f"compiles its code, take another one, or budget=steps."
                ) from error
        return phases

    @contextmanager
    def _with_arithmetic(self, name: str) -> Iterator[None]:
        with self.meter(name), Arithmetic() if name == "optimizer" else nullcontext() as arithmetic:
            yield
        self.arithmetic = arithmetic.flops if arithmetic else self.arithmetic  # the last is that of the step

    def _batch(self, counts: Counts) -> Batch:
        size, side = sum(counts), self.setting.image_size
        length: int = self.learner.network.context_length  # type: ignore[assignment]
        return Batch(torch.empty(size, 3, side, side), torch.zeros(size, length, dtype=torch.long), counts)

    def _update_batches(self, num_samples: int) -> UpdateBatches:
        """Batches through D_t. Equal ones are given once, and what the hook does with it is charged for each."""

        def update_batches(size: int, max_samples: int | None = None) -> Iterator[Batch]:
            self._went_through = True
            full, rest = divmod(min(num_samples, max_samples or num_samples), size)
            before = self.meter.so_far()
            if full:
                yield self._batch((0, size, 0))
                after = self.meter.so_far()
                self.meter.repeat(Flops(after.counted - before.counted, after.decomposed - before.decomposed), full - 1)
            if rest:
                yield self._batch((0, rest, 0))

        return update_batches


def _period(optimizer: PeriodicOptimizer) -> int:
    every = optimizer.refresh_every
    if not isinstance(every, int) or every < 1:
        raise FomoError(f"{type(optimizer).__name__}.refresh_every={every}: allowed are whole numbers from 1.")
    return every


def rehearse(setting: Setting) -> Cost:
    """Rehearse a method. A few seconds and little memory, whatever the model's size."""
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, PeakMemory() as memory, norm_in_full_precision():
        rehearsal = _Rehearsal(setting, fake, memory)
        begin_run = rehearsal.begin_run()
        tasks: list[TaskCost] = []
        for number in range(1, setting.num_tasks + 1):
            if number <= 3:
                tasks.append(rehearsal.task(number, like=tasks[1] if number == 3 else None))
            else:
                tasks.append(rehearsal.later_task(number, tasks[1], tasks[2]))
    return Cost(
        begin_run,
        tuple(tasks),
        rehearsal.refresh_every,
        memory.peak,
        rehearsal.arithmetic,
        depends_on_samples=bool(rehearsal.by_size),
        steady=len(tasks) < 3 or rehearsal.steady(tasks[1], tasks[2]),
    )


def full_fine_tuning(setting: Setting) -> Cost:
    """The reference of the memory multiplier: every parameter trained by AdamW, the same model, batch and precision."""
    return rehearse(replace(setting, make_parts=lambda: {"trainable": _Full()}, make_optimizer=_adamw, num_samples=[1]))


class _Full(Method):
    def begin_task(self, network: nn.Module, task: Task) -> None:
        """Everything is trained."""
        network.requires_grad_(True)


def _adamw(parameters: list[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW([parameter for _, parameter in parameters], fused=True)
