"""The plug-in contract: what a method may do, and when."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn


class Features(NamedTuple):
    """What the network gives for a batch: unit features of images and of texts [b, d], and exp(logit_scale) []."""

    images: Tensor
    texts: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Batch:
    """One training batch on the device, the rows of P, D_t and B one after the other.

    ``images`` [b, 3, h, w] are normalised, ``tokens`` [b, l] are padded with 0; ``counts`` are the rows of each pool.
    ``features`` are those that the contrastive loss of the step rests on, with gradient; there in ``loss`` alone.
    """

    images: Tensor
    tokens: Tensor
    counts: tuple[int, int, int]
    features: Features | None = None


def no_batches(size: int) -> Iterator[Batch]:
    """The update batches of a task that has none."""
    return iter(())


@dataclass(frozen=True)
class Task:
    """One update step of the stream, as a method sees it. ``number`` counts from 1 to ``num_tasks``.

    ``update_batches(size)`` gives D_t alone in batches of at most ``size``: each of its ``num_update_samples`` once, in
    a seeded order, augmented as in training, ``counts`` (0, n, 0); the last may be smaller. The same at every call.
    ``with autocast():`` computes in the run's precision, as ``loss`` already does.
    """

    number: int
    num_tasks: int
    num_steps: int
    seed: int
    update_batches: Callable[[int], Iterator[Batch]] = no_batches
    num_update_samples: int = 0
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext


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

    A method draws randomness from ``fomo.rng.generator(seed, purpose, task.number, …)`` alone. It never sees test
    data or scores. If no parameter requires a gradient after ``begin_task``, the task takes no step.

    A run may stop at any moment and go on in another process. Then, on the base model::

        for method in methods: method.begin_run(network, seed)
        for method in methods: method.begin_task(network, task)    # only inside of a task
        for method in methods: method.load_state_dict(network, state)
        network.load_state_dict(…); optimizer.load_state_dict(…)
    """

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

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        """The loss so far, with this part's term added. Default: unchanged."""
        return loss

    def after_backward(self, network: nn.Module) -> None:
        """Gradients are there, clipped; the optimizer has not moved yet."""

    def after_step(self, network: nn.Module) -> None:
        """The optimizer has moved."""

    def end_task(self, network: nn.Module, task: Task) -> None:
        """The task is trained: estimate importances, merge, set the weights that the next task starts from."""

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        """While open, the network holds the weights to evaluate. Default: those that end_task left."""
        yield

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint must keep besides network and optimizer; valid between any two steps. Not copied."""
        return {}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on from ``state``: attach adapters, so that the network's own state fits, and copy what is yours."""


class Methods(Method):
    """An ordered list of parts as one method."""

    def __init__(self, parts: Sequence[Method]) -> None:
        self.parts = tuple(parts)

    def work_in(self, folder: Path) -> None:
        """Give each part its own folder below ``folder``."""
        for number, part in enumerate(self.parts):
            part.workdir = folder / str(number)

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Each part in turn, once all of them agree to run together."""
        for part in self.parts:
            part.beside(self.parts)
        for part in self.parts:
            part.begin_run(network, seed)

    def begin_task(self, network: nn.Module, task: Task) -> None:
        """Each part in turn."""
        for part in self.parts:
            part.begin_task(network, task)

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        """Each part adds its term to what the parts before it gave."""
        for part in self.parts:
            loss = part.loss(network, batch, loss)
        return loss

    def after_backward(self, network: nn.Module) -> None:
        """Each part in turn."""
        for part in self.parts:
            part.after_backward(network)

    def after_step(self, network: nn.Module) -> None:
        """Each part in turn."""
        for part in self.parts:
            part.after_step(network)

    def end_task(self, network: nn.Module, task: Task) -> None:
        """Each part in turn."""
        for part in self.parts:
            part.end_task(network, task)

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        """Every part's deployed weights, entered in turn."""
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part.deployed(network))
            yield

    def state_dict(self) -> dict[str, Tensor]:
        """Every part's state, its keys prefixed by the part's position: ``0.KEY``."""
        return {f"{n}.{key}": value for n, part in enumerate(self.parts) for key, value in part.state_dict().items()}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Give each part its own."""
        for n, part in enumerate(self.parts):
            prefix = f"{n}."
            part.load_state_dict(network, {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
