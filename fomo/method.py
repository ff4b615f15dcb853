"""The plug-in contract: what a method may do, and when."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor, nn

from fomo.batch import Batch
from fomo.errors import FomoError
from fomo.stream.definition import Concept


class UpdateBatches(Protocol):
    """Goes through the new data of a task."""

    def __call__(self, size: int, max_samples: int | None = None) -> Iterator[Batch]:
        """Batches of at most ``size``."""
        ...


def no_batches(size: int, max_samples: int | None = None) -> Iterator[Batch]:
    """The update batches of a task that has none."""
    return iter(())


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Alike(Protocol):
    """Says of a function that its calls cost alike."""

    def __call__(self, function: Callable[Arguments, Result], /) -> Callable[Arguments, Result]:
        """The function to call in its place."""
        ...


def called_each_time(function: Callable[Arguments, Result], /) -> Callable[Arguments, Result]:
    """The function as it is: outside of a rehearsal every call is one."""
    return function


def no_backward(batch: Batch) -> Tensor:
    """The whole loss of a task that nobody trains."""
    raise FomoError("task.backward: there is no step of this task that it could be part of.")


@dataclass(frozen=True)
class Task:
    """One update step of the stream, as a method sees it. ``number`` counts from 1 to ``num_tasks``.

    It takes ``num_steps`` steps of the optimizer. ``seed`` is the run's, for ``fomo.rng.generator``.

    ``update_batches(size, max_samples)`` returns D_t alone in batches of at most ``size``: each of its
    ``num_update_samples`` once, or ``max_samples`` of them, in a seeded order, augmented as in training, ``counts``
    (0, n, 0); the last may be smaller. Every call returns the same. Take all batches: the rehearsal returns equal
    batches once and charges them as often as they come. ``with autocast():`` computes in the run's precision, as
    ``loss`` already does. ``max_grad_norm`` is what the gradient is scaled down to before the optimizer takes it.

    ``backward(batch)`` computes the whole loss of a batch as the step does, every part's term in it, at the weights
    that the network holds now, adds its gradient to ``parameter.grad``, and returns it. It is for ``after_backward`` of
    a method that looks at other weights, and costs a forward and a backward pass.

    ``alike(function)`` returns a function to call in the place of one whose calls cost alike, as products with one
    matrix do: the rehearsal makes two calls, and charges all later ones as the second, in FLOPs and in memory. What it
    returns are tensors of its own of the same shapes, without a graph. A run makes every call.

    ``datasets`` are the names that ``batch.datasets`` numbers, ``concepts`` the concepts (``dataset``, ``name``) of the
    tasks up to this one, in the order of the stream, that ``batch.labels`` numbers.
    """

    number: int
    num_tasks: int
    num_steps: int
    seed: int
    num_update_samples: int = 0
    update_batches: UpdateBatches = field(default=no_batches, repr=False, compare=False)
    autocast: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, repr=False, compare=False)
    max_grad_norm: float = float("inf")
    backward: Callable[[Batch], Tensor] = field(default=no_backward, repr=False, compare=False)
    alike: Alike = field(default=called_each_time, repr=False, compare=False)
    datasets: tuple[str, ...] = field(default=(), repr=False)
    concepts: tuple[Concept, ...] = field(default=(), repr=False)


Hook = TypeVar("Hook", bound=Callable[..., Any])


def _in_step(hook: Hook) -> Hook:
    """Mark a hook that is called in every step."""
    hook.__dict__["in_step"] = True
    return hook


class Logging:
    """What a part has to say of a step or a task beside what the benchmark writes."""

    def log(self, name: str, value: Tensor | float) -> None:
        """Have a scalar written to ``events.jsonl``, as ``PART.NAME``: to the event of the step, or to one of the hook.

        Args:
            name: Of the value; the last value of a name counts.
            value: A number, or a tensor without dimensions, which is not waited for.

        Raises:
            FomoError: the value is neither.
        """
        scalar = value.detach() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        if scalar.dim():
            raise FomoError(f"log('{name}'): a tensor of shape {list(scalar.shape)}: give a number, as value.mean().")
        self.__dict__.setdefault("_logged", {})[name] = scalar

    @property
    def num_logged(self) -> int:
        """How many values were logged since they were asked for last."""
        return len(self.__dict__.get("_logged", {}))

    def take_logged(self) -> dict[str, Tensor]:
        """What was logged since this was asked last."""
        logged: dict[str, Tensor] = self.__dict__.pop("_logged", {})
        return logged


class Method(Logging):
    """A part of a continual learner: what is trained, a regulariser, a merge. Subclass it, override what you need.

    A run holds an ordered list of parts; at every hook they are called in that order::

        for method in methods: method.beside(methods)
        for method in methods: method.begin_run(network, seed)
        for task in stream:
            for method in methods: method.begin_task(network, task)
            optimizer = a fresh one over the parameters that require a gradient
            for step in range(task.num_steps):
                loss = contrastive(network, batch)
                for method in methods: loss = method.loss(network, batch, loss)
                loss.backward()
                for method in methods: method.after_backward(network)
                clip the gradient norm; optimizer.step()
                for method in methods: method.after_step(network)
            for method in methods: method.end_task(network, task)
            with method.deployed(network) of every method: evaluate(network)

    Every hook is charged to the budget for the FLOPs it computes, whatever they are for. They are planned by
    rehearsing the hooks on fake tensors, which have shapes and no content: a hook that reads values, masks by them or
    uses files cannot be rehearsed and says in :meth:`flops` what it costs, in :meth:`held_bytes` what is held after it.

    What a hook is handed, its own classes tell: ``fomo.Batch``, ``fomo.Features`` (there too how the network is
    called), ``fomo.Task``, and for schedules ``fomo.Position``.

    A method draws randomness from ``fomo.rng.generator(seed, purpose, task.number, …)`` alone. It never sees test
    data or scores. If no parameter requires a gradient after ``begin_task``, the task takes no step.

    A run may stop at any moment and go on in another process. Then, on the base model, in this order (the function
    ``go_on`` of ``fomo/training/resuming.py``, for runs and for ``fomo check``)::

        for method in methods: method.begin_run(network, seed)
        for method in methods: method.begin_task(network, task)    # only inside of a task
        for method in methods: method.load_state_dict(network, state)
        network.load_state_dict(…)
        optimizer = a fresh one over the parameters that require a gradient now    # only inside of a task
        optimizer.load_state_dict(…)

    Everything has to be finite: the loss after every part's term, the gradient after the backward pass and after every
    part's ``after_backward``, the weights after the optimizer and after every other hook, and what a checkpoint keeps.
    With ``on_nan=skip`` or ``rewind`` a step ends where it is not: what its hooks have changed until then stays. A step
    whose weights are not finite can be rewound and not skipped; a rewind loads an earlier state of the task into the
    same objects.
    """

    group = "regularizer"
    """The group that a plug-in of this class is an option of: ``trainable``, ``regularizer``, ``merging``, or
    ``diagnostics`` if it measures and leaves training as it is."""

    grows_with_tasks = False
    """Whether it needs memory for every task by definition; then say so. Files in ``workdir`` do not count."""

    plain_weights = True
    """Whether what it deploys is the model at other weights and nothing else, so that those stored are those scored.

    This is checked. ``False``: an ensemble of outputs, hooks, modules of its own. The result then has the caveat "no
    plain weights", and ``network.safetensors`` instead of ``final.safetensors``, for it is not what was scored.
    """

    one_process = ""
    """Why it cannot be right where several processes take the steps of a run (``torchrun``); then it is refused there.

    Otherwise it has to compute in each of them what one alone would. A batch has the rows of its own process; all rows
    are ``fomo.gathered(rows)``, those of features are in ``batch.features`` already, and ``batch.whole`` counts them.
    Reduce over all rows, never over one's own: then loss, gradient and state are the same everywhere, which is checked.
    A gradient of parameters of your own making, as by ``torch.autograd.grad``, is the batch's as
    ``fomo.averaged(gradients)`` returns it; one at your own rows is as many times too large as there are processes.
    """

    parted_weights = False
    """Whether :meth:`loss`, :meth:`after_backward` and :meth:`after_step` are right where the network's parameters and
    gradients are DTensors, of which each process holds a part (``runtime.strategy=fsdp``); else they are refused there.

    Arithmetic of them is that of whole tensors. ``fomo.total`` makes a plain sum of terms of the loss,
    ``fomo.part_of(value, parameter)`` takes of a plain tensor the part that the process holds of the parameter, and
    ``fomo.whole`` makes any tensor plain. In other hooks weights are whole. Keep names, not parameters.
    """

    only_whole = False
    """Whether it needs whole weights while steps are taken though it has no hook in them, as who listens to layers."""

    refresh_every: int | None = None
    """k, where what its hooks do in steps 0, k, 2k, … of a task costs more than in others; steps that are lost because
    they were not finite do not count. It is then planned and charged so (:func:`period_of`)."""

    batch_tests: tuple[str, ...] = ()
    """What it logs in :meth:`end_task` that is a size of batch, which a test asks for: ``norm_test`` or
    ``inner_product_test``, as it is logged. ``batch_ladder`` decides the sizes of later tasks by one of them."""

    workdir: Path | None = None
    """A folder of the run for a part that needs disk, set before the first task; not there until you make it.

    What lies in it is not part of ``state_dict``: name files by task, write them whole (``fomo.file_beside``), and
    write the same when a task is done again.
    """

    restarts_adapters = False
    """Whether adapters are folded after each task, so that the next one starts with new ones."""

    def beside(self, parts: Sequence["Method"]) -> None:
        """Refuse, with the reason, to be one of these ``parts`` of a run. Called before anything else."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Called once, with the base model θ₀, which is scored as task 0. Copy what you want to keep of it."""

    def begin_task(self, network: nn.Module, task: Task) -> None:
        """Set what is trainable, attach adapters."""

    @_in_step
    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        """The loss so far, with this part's term added. Default: unchanged."""
        return loss

    @_in_step
    def after_backward(self, network: nn.Module) -> None:
        """The gradient is there and finite. What this makes of it is clipped, judged and taken by the optimizer."""

    @_in_step
    def after_step(self, network: nn.Module) -> None:
        """The optimizer has moved; the gradient that it was given is still there."""

    def end_task(self, network: nn.Module, task: Task) -> None:
        """The task is trained: estimate importances, merge, set the weights that the next task starts from."""

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        """While open, the network holds the weights to evaluate. Default: those that end_task left.

        It is tried before the first step too, and may raise there: nothing has to be there to deploy yet.
        """
        yield

    def flops(self, hook: str, network: nn.Module, task: Task | None) -> int | None:
        """What ``hook`` costs, for a hook that cannot run on fake tensors; it is then not rehearsed.

        ``task`` is ``None`` for ``begin_run``. The run counts the hook all the same, and another figure than this one
        is an error. Default: ``None``, rehearse it.
        """
        return None

    def held_bytes(self, hook: str, network: nn.Module, task: Task | None) -> int | None:
        """Bytes that this part holds on the device after ``hook``, in all: for what a rehearsal cannot see.

        Say it for a hook that :meth:`flops` answers for, if it makes tensors that stay; the network's own do not count,
        nor do those made under ``fomo.host_memory()``. A run in which the part holds more is an error. Default:
        ``None``, as much as the rehearsal has found until then.
        """
        return None

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint must keep besides network and optimizer; valid between any two steps. Not copied."""
        return {}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on from ``state``: attach adapters, so that the network's own state fits, and copy what is yours."""


HOOKS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(function).parameters)[1:]
    for name, function in vars(Method).items()
    if inspect.isfunction(function) and not name.startswith("_")
}
"""What the benchmark calls of a method, and the names of the arguments; derived, so that the class is the only list."""


HOOKS_IN_STEP = frozenset(name for name in HOOKS if hasattr(getattr(Method, name), "in_step"))
"""The hooks that are called in every step."""


class PeriodicOptimizer(torch.optim.Optimizer):
    """An optimizer whose steps 0, k, 2k, … of a task do more than the others; ``refresh_every`` is k."""

    refresh_every: int


def period_of(optimizer: torch.optim.Optimizer, parts: Mapping[str, Method]) -> int | None:
    """The period of steps that cost what the first of a task does, of optimizer and parts; ``None`` where none has one.

    Args:
        optimizer: The task's.
        parts: Those of the run by name.

    Raises:
        FomoError: a period is no integer from 1, or two differ, which a budget cannot plan.
    """
    found = {name: part.refresh_every for name, part in parts.items() if part.refresh_every is not None}
    if isinstance(optimizer, PeriodicOptimizer):
        found = {type(optimizer).__name__: optimizer.refresh_every} | found
    for name, every in found.items():
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise FomoError(f"{name}.refresh_every={every}: allowed are integers from 1.")
    if len(set(found.values())) > 1:
        said = ", ".join(f"{name} every {every}" for name, every in found.items())
        raise FomoError(f"some steps do more: {said} steps. Give all of them one period, or leave one out.")
    return next(iter(found.values()), None)


class ListeningOptimizer(torch.optim.Optimizer):
    """An optimizer that looks at layers while steps are taken, and is told the loss.

    It is refused where each process holds a part of the weights (``runtime.strategy=fsdp``).
    """

    only_whole = True
    """That it takes steps of whole weights alone."""

    def listen(self, network: nn.Module) -> None:
        """The network whose steps it takes; called once, before the first step of a task."""

    def hear(self, loss: Tensor) -> None:
        """The whole loss of a step, which is the same in every process; called before ``step``. Do not wait for it."""
