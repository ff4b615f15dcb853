"""The parts of a run, called hook by hook in their order, each metered under its name."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fomo.batch import Batch
from fomo.budget.flops import FlopMeter, Meter, Phases, unmetered
from fomo.errors import FomoError
from fomo.method import Method
from fomo.system.parted import is_parted
from fomo.system.ranks import world
from fomo.training.added import SETTING_UP, Added, noting
from fomo.training.finite import check_weights

After = Callable[[str], None]
"""Hears of a part's hook that has run, as ``NAME.HOOK (CLASS)``; not of hooks that a part leaves as they are."""


def nobody(part: str) -> None:
    """Hears of a hook, and does nothing."""


class Methods:
    """Named parts of a run in order. A ``meter`` hears what each part does, as ``NAME.HOOK``.

    ``added`` names what the network has from a part: parameters and buffers that the base model lacks.
    """

    def __init__(self, parts: Mapping[str, Method]) -> None:
        self.parts = dict(parts)
        self.computing_loss = False
        self.added: dict[str, Added] = {}

    def call(self, name: str, hook: str, *arguments: Any, meter: Meter) -> Any:
        """Call one hook of one part."""
        sets_up = noting(self.added, name, self.parts[name], arguments[0]) if hook in SETTING_UP else nullcontext()
        with sets_up, meter(f"{name}.{hook}"):
            return getattr(self.parts[name], hook)(*arguments)

    def each(self, hook: str, *arguments: Any, meter: Meter = unmetered, after: After = nobody) -> None:
        """Call a hook of every part in turn."""
        for name in self.parts:
            self.call(name, hook, *arguments, meter=meter)
            if self.overrides(name, hook):
                after(self.described(name, hook))

    def overrides(self, name: str, hook: str) -> bool:
        """Whether a part has a hook of its own."""
        return getattr(getattr(self.parts[name], hook), "__func__", None) is not getattr(Method, hook)

    def any_overrides(self, hook: str) -> bool:
        """Whether any part has a hook of its own."""
        return any(self.overrides(name, hook) for name in self.parts)

    def described(self, name: str, hook: str) -> str:
        """A hook with the class that it is of, for messages."""
        return f"{name}.{hook} ({type(self.parts[name]).__qualname__})"

    def logged(self) -> dict[str, Tensor]:
        """What parts have logged since this was asked last, by ``PART.NAME``."""
        return {
            f"{name}.{key}": value for name, part in self.parts.items() for key, value in part.take_logged().items()
        }

    @property
    def num_logged(self) -> int:
        """How many values parts have logged since this was asked last."""
        return sum(part.num_logged for part in self.parts.values())

    def work_in(self, folder: Path) -> None:
        """Give each part its own folder below ``folder``."""
        for name, part in self.parts.items():
            part.workdir = folder / name

    def begin_run(self, network: nn.Module, seed: int, meter: Meter = unmetered, after: After = nobody) -> None:
        """Begin the run on the base model, once all parts agree to run together."""
        for name in self.parts:
            self.agree(name)
        self.each("begin_run", network, seed, meter=meter, after=after)

    def agree(self, name: str) -> None:
        """Have a part refuse the others, and refuse one that a process alone has to compute where there are several.

        Raises:
            FomoError: they do not go together, or not here.
        """
        self.parts[name].beside(tuple(self.parts.values()))
        reason = self.parts[name].one_process
        if reason and world().size > 1:
            raise FomoError(
                f"{name} ({type(self.parts[name]).__name__}) computes in one process alone: {reason} Start the run "
                "without torchrun."
            )

    def begun(self, network: nn.Module, seed: int) -> Phases:
        """Begin the run, and return what that has cost.

        Raises:
            NotFinite: a part has left weights that are not finite.
        """
        meter = FlopMeter()
        self.begin_run(network, seed, meter, partial(check_weights, network, 1))
        return meter.phases

    def loss(
        self,
        network: nn.Module,
        batch: Batch,
        loss: Tensor,
        meter: Meter = unmetered,
        after: Callable[[str, Tensor], None] = lambda part, loss: None,
    ) -> Tensor:
        """The loss with every part's term: each part gets what the parts before it returned.

        Args:
            network: The network at the weights at hand.
            batch: With the features that the loss rests on.
            loss: The contrastive loss.
            meter: Hears what each part does.
            after: Hears of each part that has a term, and of the loss with it.

        Raises:
            FomoError: a part returns something else than a tensor without dimensions, with its gradient.
        """
        for name in self.parts:
            self.computing_loss = True
            try:
                loss = self.call(name, "loss", network, batch, loss, meter=meter)
            finally:
                self.computing_loss = False
            plain = isinstance(loss, Tensor) and not is_parted(loss)
            if not plain or loss.shape or not loss.requires_grad:
                raise FomoError(
                    f"{name}.loss returns {_described(loss)}: return a tensor without dimensions, with its gradient."
                )
            if self.overrides(name, "loss"):
                after(self.described(name, "loss"), loss)
        return loss

    @contextmanager
    def deployed(self, network: nn.Module, meter: Meter = unmetered, after: After = nobody) -> Iterator[None]:
        """Every part's deployed weights, entered in turn and left in reverse; what happens inside is not metered."""
        with ExitStack() as stack:
            for name in self.parts:
                entered = self.call(name, "deployed", network, meter=meter)
                if not isinstance(entered, AbstractContextManager):
                    raise FomoError(
                        f"{name}.deployed returns {_described(entered)}: decorate it with contextlib.contextmanager."
                    )
                own = self.overrides(name, "deployed")
                if own:
                    stack.callback(after, f"{self.described(name, 'deployed')} was left")
                stack.enter_context(_metered(entered, f"{name}.deployed", meter))
                if own:
                    after(self.described(name, "deployed"))
            yield

    def state_dict(self) -> dict[str, Tensor]:
        """Every part's state, its keys prefixed by the part's name: ``NAME.KEY``.

        Raises:
            FomoError: a value is no tensor.
        """
        state = {f"{name}.{key}": v for name, part in self.parts.items() for key, v in part.state_dict().items()}
        for key, value in state.items():
            if not isinstance(value, Tensor):
                raise FomoError(f"state_dict: {key} is {_described(value)}: give tensors, as torch.tensor(...).")
        return state

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Give each part its own keys of the state, without the prefix.

        Raises:
            FomoError: a part's code fails; the part is named.
        """
        for name, part in self.parts.items():
            prefix = f"{name}."
            own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
            try:
                with noting(self.added, name, part, network):
                    part.load_state_dict(network, own)
            except FomoError:
                raise
            except Exception as error:  # whatever a plug-in's code raises
                what = f"{type(error).__name__}: {' '.join(str(error).split())}"
                raise FomoError(f"{name}.load_state_dict ({type(part).__name__}) failed: {what}.") from error


def _described(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if is_parted(value):
        return "a tensor of which each process holds a part (add what fomo.total makes of it)"
    return f"a tensor of shape {list(value.shape)}" if value.shape else "a tensor without a gradient"


@contextmanager
def _metered(inner: AbstractContextManager[None], phase: str, meter: Meter) -> Iterator[None]:
    """A context whose entry and exit are metered, and nothing between them."""
    with meter(phase):
        inner.__enter__()
    try:
        yield
    except BaseException as error:
        with meter(phase):
            handled = inner.__exit__(type(error), error, error.__traceback__)
        if not handled:
            raise
    else:
        with meter(phase):
            inner.__exit__(None, None, None)
