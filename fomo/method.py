"""The plug-in contract: what a method may do, and when."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from fomo.batch import Batch


class UpdateBatches(Protocol):
    """Goes through the new data of a task."""

    def __call__(self, size: int, max_samples: int | None = None) -> Iterator[Batch]:
        """Batches of at most ``size``."""
        ...


def no_batches(size: int, max_samples: int | None = None) -> Iterator[Batch]:
    """The update batches of a task that has none."""
    return iter(())


@dataclass(frozen=True)
class Task:
    """One update step of the stream, as a method sees it. ``number`` counts from 1 to ``num_tasks``.

    It takes ``num_steps`` steps of the optimizer. ``seed`` is the run's, for ``fomo.rng.generator``.

    ``update_batches(size, max_samples)`` returns D_t alone in batches of at most ``size``: each of its
    ``num_update_samples`` once, or ``max_samples`` of them, in a seeded order, augmented as in training, ``counts``
    (0, n, 0); the last may be smaller. Every call returns the same. Take all batches: the rehearsal returns equal
    batches once and charges them as often as they come. ``with autocast():`` computes in the run's precision, as
    ``loss`` already does.
    """

    number: int
    num_tasks: int
    num_steps: int
    seed: int
    num_update_samples: int = 0
    update_batches: UpdateBatches = field(default=no_batches, repr=False, compare=False)
    autocast: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, repr=False, compare=False)


Hook = TypeVar("Hook", bound=Callable[..., Any])


def _during(when: str) -> Callable[[Hook], Hook]:
    """Mark a hook that is called in every step; ``when`` is "loss" or, once gradients are there, "update"."""

    def mark(hook: Hook) -> Hook:
        hook.__dict__["during"] = when
        return hook

    return mark


class Method:
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
                loss.backward(); clip the gradient norm
                for method in methods: method.after_backward(network)
                optimizer.step()
                for method in methods: method.after_step(network)
            for method in methods: method.end_task(network, task)
            with method.deployed(network) of every method: evaluate(network)

    Every hook is charged to the budget for the FLOPs it computes, whatever they are for. They are planned by
    rehearsing the hooks on fake tensors, which have shapes and no content: a hook that reads values, masks by them or
    uses files cannot be rehearsed and says in :meth:`flops` what it costs.

    What a hook is handed, its own classes tell: ``fomo.Batch``, ``fomo.Features`` (there too how the network is
    called), ``fomo.Task``, and for schedules ``fomo.Position``.

    A method draws randomness from ``fomo.rng.generator(seed, purpose, task.number, …)`` alone. It never sees test
    data or scores. If no parameter requires a gradient after ``begin_task``, the task takes no step.

    A run may stop at any moment and go on in another process. Then, on the base model::

        for method in methods: method.begin_run(network, seed)
        for method in methods: method.begin_task(network, task)    # only inside of a task
        for method in methods: method.load_state_dict(network, state)
        network.load_state_dict(…); optimizer.load_state_dict(…)

    With ``on_nan=skip`` or ``rewind`` a step whose loss or gradient is not finite ends before ``after_backward``, and
    what ``loss`` has changed stays; a rewind then loads an earlier state of the task into the same objects.
    """

    group = "regularizer"
    """The group that a plug-in of this class is an option of: ``trainable``, ``regularizer`` or ``merging``."""

    grows_with_tasks = False
    """Whether it needs memory for every task by definition; then say so. Files in ``workdir`` do not count."""

    workdir: Path | None = None
    """A folder of the run for a part that needs disk, set before the first task; not there until you make it.

    What lies in it is not part of ``state_dict``: name files by task, write them whole (beside, then rename), and write
    the same when a task is done again.
    """

    restarts_adapters = False
    """Whether adapters are folded after each task, so that the next one starts with new ones."""

    def beside(self, parts: Sequence["Method"]) -> None:
        """Refuse, with the reason, to be one of these ``parts`` of a run. Called before anything else."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Called once, with the base model θ₀. Copy what you want to keep of it."""

    def begin_task(self, network: nn.Module, task: Task) -> None:
        """Set what is trainable, attach adapters."""

    @_during("loss")
    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        """The loss so far, with this part's term added. Default: unchanged."""
        return loss

    @_during("update")
    def after_backward(self, network: nn.Module) -> None:
        """Gradients are there, clipped; the optimizer has not moved yet."""

    @_during("update")
    def after_step(self, network: nn.Module) -> None:
        """The optimizer has moved."""

    def end_task(self, network: nn.Module, task: Task) -> None:
        """The task is trained: estimate importances, merge, set the weights that the next task starts from."""

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        """While open, the network holds the weights to evaluate. Default: those that end_task left."""
        yield

    def flops(self, hook: str, network: nn.Module, task: Task | None) -> int | None:
        """What ``hook`` costs, for a hook that cannot run on fake tensors; it is then not rehearsed.

        ``task`` is ``None`` for ``begin_run``. The run counts the hook all the same, and another figure than this one
        is an error. Default: ``None``, rehearse it.
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


def hooks_during(*when: str) -> frozenset[str]:
    """The hooks of a step that are called ``when``: for the "loss", for the "update", or both."""
    return frozenset(name for name in HOOKS if getattr(getattr(Method, name), "during", None) in when)


class PeriodicOptimizer(torch.optim.Optimizer):
    """An optimizer whose steps 0, k, 2k, … of a task do more than the others; ``refresh_every`` is k."""

    refresh_every: int
