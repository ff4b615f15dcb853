"""What a method costs, found by rehearsing it on fake tensors: its own hooks in the loop's own step, no computation.

Two steps are rehearsed; the second is taken for all later ones of its task, except where the optimizer says that it
refreshes something every so often. Where the first one costs and leaves what that of the task before does, the second
is taken to do so too. Three tasks are; the third is taken for all later ones if it costs what the second does and
leaves as much memory, else every task is rehearsed: its hooks, where steps still cost the same. The ledger counts the
real steps again, looks at what the parts hold, and refuses any other cost.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fomo.batch import Batch
from fomo.budget.arithmetic import Arithmetic
from fomo.budget.cost import Cost, Sizes, TaskCost
from fomo.budget.flops import FlopMeter, Flops, Phases
from fomo.budget.memory import PeakMemory, cuda_kernels, fake_copy
from fomo.budget.memory import mixed_precision as gpu_precision
from fomo.errors import FomoError
from fomo.method import UpdateBatches, period_of
from fomo.model.clip import train_mode
from fomo.planning.alike import AlikeCalls
from fomo.planning.rehearsed import RehearsedParts
from fomo.planning.shape import BlankBatches, StreamShape
from fomo.system.shared_rows import rehearsing
from fomo.training.step import Learner


class _Trace(NamedTuple):
    """The bytes of a rehearsed task: alive when its hooks have begun it, more at the peak of its first step and of both
    steps, alive at its end; ``keeps``: the parts hold more after the steps than before; alive after the first step."""

    begun: int
    first: int
    steps: int
    left: int
    keeps: bool
    after_first: int = 0


class _Rehearsal:
    def __init__(
        self, learner: Learner, shape: StreamShape, mixed: bool, fake: FakeTensorMode, memory: PeakMemory
    ) -> None:
        self.shape = shape
        self.memory = memory
        self.meter = FlopMeter()
        self.arithmetic = 0
        self.refresh_every: int | None = None
        self._went_through = False
        self.by_size: dict[int, TaskCost] = {}
        self.traces: list[_Trace] = []
        self.sizes = Sizes()
        self.methods = RehearsedParts(learner.methods.parts, memory)
        self.learner = replace(
            learner,
            network=fake_copy(learner.network, fake),
            methods=self.methods,
            autocast=gpu_precision if mixed else nullcontext,
            fetch=lambda scalars: [0.0] * len(scalars),  # fake tensors have no values: all is taken as finite
        )
        self.batches = BlankBatches(shape.image_size, self.learner.network.context_length)  # type: ignore[arg-type]
        for tensor in (*self.learner.network.parameters(), *self.learner.network.buffers()):
            memory.add(tensor)

    @contextmanager
    def phases(self) -> Iterator[dict[str, Flops]]:
        """What is spent inside."""
        self.meter = FlopMeter()
        self.methods.declare = self.meter.declare
        yield self.meter.phases

    def begin_run(self) -> Phases:
        with self.phases() as phases:
            self.methods.begin_run(self.learner.network, self.shape.seed, self.meter)
        return phases

    def task(self, number: int, like: TaskCost | None = None, hooks_only: bool = False) -> TaskCost:
        """Hooks and two steps of a task; one step if it costs what the first one of the task ``like`` does."""
        cost, trace = self._task(number, like, hooks_only)
        self.traces.append(trace._replace(left=self.memory.live))  # its optimizer is gone
        if self._went_through:
            self.by_size[self.shape.num_samples[number - 1]] = cost
        return cost

    def _task(self, number: int, like: TaskCost | None, hooks_only: bool) -> tuple[TaskCost, _Trace]:
        network = self.learner.network
        size = self.shape.num_samples[number - 1]
        task = self.learner.task(
            number,
            self.shape.num_tasks,
            2,
            self.shape.seed,
            num_update_samples=size,
            datasets=self.shape.names.datasets,
            concepts=self.shape.names.until(number),
            update_batches=self._update_batches(size),
            alike=self._alike,
        )
        with self.phases() as begin:
            self.methods.each("begin_task", network, task, meter=self.meter)
            optimizer = self.learner.optimizer(self.meter)
        at_begin = self.methods.held(network)
        first, ordinary, trace = self._steps(None if hooks_only else optimizer, number, like)
        self.sizes = Sizes(*map(max, self.sizes, _sizes(network, optimizer)))
        trace = trace._replace(keeps=self.methods.held(network) != at_begin)
        with self.phases() as end:
            self.methods.each("end_task", network, task, meter=self.meter)
            with self.methods.deployed(network, self.meter):
                pass
        held = {"begin": at_begin, "end": self.methods.held(network)}
        return TaskCost(begin, first, ordinary, end, held=held), trace

    def _steps(
        self, optimizer: torch.optim.Optimizer | None, number: int, like: TaskCost | None
    ) -> tuple[Phases | None, Phases | None, _Trace]:
        begun = self.memory.recent = self.memory.live
        if optimizer is None:
            return None, None, _Trace(begun, 0, 0, 0, False)
        first = self._step(optimizer, number)
        trace = _Trace(begun, self.memory.recent - begun, 0, 0, False, self.memory.live)
        is_known = like is not None and like.first == first and (number > 2 or self._as_in_first_task(trace))
        ordinary = like.ordinary if like and is_known else self._step(optimizer, number)
        self._same_for_all_kinds(optimizer, number, [first, ordinary], num_taken=1 if is_known else 2)
        if is_known and number == 2:
            self.memory.recent = max(self.memory.recent, self.traces[0].begun + self.traces[0].steps)
        return first, ordinary, trace._replace(steps=self.memory.recent - begun)

    def _as_in_first_task(self, trace: _Trace) -> bool:
        """Whether the first step of the second task left as much memory as that of the first, and had the same peak:
        so will the second step, which cost the same."""
        first = self.traces[0]
        return (first.begun + first.first, first.after_first) == (trace.begun + trace.first, trace.after_first)

    def steady(self, second: TaskCost, third: TaskCost) -> bool:
        """Whether tasks cost the same and leave as much memory, the FLOPs of hooks that go through D_t aside."""
        if any(part.grows_with_tasks for part in self.methods.parts.values()):
            return False
        same_hooks = bool(self.by_size) or (second.begin, second.end) == (third.begin, third.end)
        same_memory = second.held == third.held and self._memory_of(2) == self._memory_of(3)
        return same_hooks and same_memory and _same_steps(second, third)

    def _memory_of(self, number: int) -> tuple[int, int, int]:
        """What tasks share that cost the same memory; of later tasks, one step may be rehearsed."""
        trace = self.traces[number - 1]
        return trace.begun, trace.first, trace.left

    def later_task(self, number: int, second: TaskCost, third: TaskCost) -> TaskCost:
        """A task after the third: like the third if that was like the second, else rehearsed.

        Hooks that go through D_t cost what its size makes them cost: for a size not met yet they alone are rehearsed.
        They alone are, too, where memory grows and steps do not change, but for the last task: a step takes as much
        more than there was before it as those of the second and the third did.
        """
        if self.steady(second, third):
            size = self.shape.num_samples[number - 1]
            if self.by_size and size not in self.by_size:
                self.task(number, hooks_only=True)
            hooks = self.by_size.get(size, third)
            return replace(third, begin=hooks.begin, end=hooks.end, held=hooks.held)
        if not self._steps_are_alike(second, third):
            return self.task(number)
        is_last = number == self.shape.num_tasks
        cost = self.task(number, like=third, hooks_only=not is_last)
        most = max(trace.steps for trace in self.traces[1:3])
        self.memory.peak = max(self.memory.peak, self.traces[-1].begun + most)
        return cost if is_last else replace(cost, first=third.first, ordinary=third.ordinary)

    def _steps_are_alike(self, second: TaskCost, third: TaskCost) -> bool:
        """Whether steps of later tasks can be told from those of the second and the third."""
        of_second, of_third = self.traces[1:3]
        keeps = of_second.keeps or of_third.keeps
        return _same_steps(second, third) and of_second.first == of_third.first and not keeps

    def _same_for_all_kinds(
        self, optimizer: torch.optim.Optimizer, task: int, known: Sequence[Phases | None], num_taken: int
    ) -> None:
        """Batches of one pool each have to cost the same, since the budget knows one cost of a step, or of a first and
        an ordinary one, which are ``known``."""
        for step, kind in enumerate(range(1, len(self.shape.kinds(task))), num_taken):
            refreshes = self.refresh_every is not None and step % self.refresh_every == 0
            if self._step(optimizer, task, kind) != known[0 if refreshes else 1]:
                raise FomoError(
                    "mixture.batches=unmixed: steps of this method cost differently by the pool of their batch, so a "
                    "budget of FLOPs cannot plan them. Take mixture.batches=mixed, or budget=steps."
                )

    def _step(self, optimizer: torch.optim.Optimizer, task: int, kind: int = 0) -> Phases:
        self.refresh_every = period_of(optimizer, self.methods.parts)
        train_mode(self.learner.network)
        with self.phases() as phases:
            counts = self.shape.kinds(task)[kind]
            try:
                with rehearsing(counts):
                    self.learner.step(optimizer, self.batches.of(counts), self._with_arithmetic)
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

    def _alike(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        return AlikeCalls(function, lambda: self.meter, self.memory)

    def _update_batches(self, num_samples: int) -> UpdateBatches:
        """Batches through D_t, for a hook that is then known to go through it."""

        def update_batches(size: int, max_samples: int | None = None) -> Iterator[Batch]:
            self._went_through = True
            yield from self.batches.of_task(min(num_samples, max_samples or num_samples), size, self.meter)

        return update_batches


def _sizes(network: nn.Module, optimizer: torch.optim.Optimizer | None) -> Sizes:
    groups = optimizer.param_groups if optimizer else []
    states = optimizer.state.values() if optimizer else []
    kept = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    return Sizes(
        sum(parameter.numel() for parameter in network.parameters()),
        sum(parameter.numel() for group in groups for parameter in group["params"]),
        sum(value.numel() * value.element_size() for value in kept),
    )


def _same_steps(one: TaskCost, other: TaskCost) -> bool:
    return (one.first, one.ordinary) == (other.first, other.ordinary)


@cache
def start_engine() -> None:
    """Have autograd look for devices before fake tensors pretend that there is a GPU.

    Else it starts threads for that, and no process that is forked from this one can go backward.
    """
    torch.zeros(1, requires_grad=True).sum().backward()


def rehearse(make_learner: Callable[[], Learner], shape: StreamShape, mixed_precision: bool) -> Cost:
    """Rehearse a method. A few seconds and little memory, whatever the model's size.

    Args:
        make_learner: Makes a fresh learner. Its network may be on the meta device, and is not changed.
        shape: What tasks and batches look like.
        mixed_precision: Whether memory is counted under CUDA's mixed precision; else all is in fp32.

    Raises:
        FomoError: a hook can be neither rehearsed nor asked for its FLOPs.
    """
    start_engine()
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, PeakMemory() as memory, cuda_kernels():
        rehearsal = _Rehearsal(make_learner(), shape, mixed_precision, fake, memory)
        begin_run = rehearsal.begin_run()
        tasks: list[TaskCost] = []
        for number in range(1, shape.num_tasks + 1):
            if number <= 3:
                tasks.append(rehearsal.task(number, like=tasks[-1] if tasks else None))
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
        declared=frozenset(rehearsal.methods.declared),
        sizes=rehearsal.sizes,
    )
