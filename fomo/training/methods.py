"""The parts of a run as one method: each hook calls them in order, metered by part."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fomo.batch import Batch
from fomo.budget.flops import Meter, unmetered
from fomo.errors import FomoError
from fomo.method import Method, Task


class Methods(Method):
    """Named parts in order, as one method. ``meter`` hears what each part does, as ``NAME.HOOK``."""

    def __init__(self, parts: Mapping[str, Method]) -> None:
        self.parts = dict(parts)
        self.meter: Meter = unmetered

    def call(self, name: str, hook: str, *arguments: Any) -> Any:
        """One hook of one part, metered."""
        with self.meter(f"{name}.{hook}"):
            return getattr(self.parts[name], hook)(*arguments)

    def work_in(self, folder: Path) -> None:
        """Give each part its own folder below ``folder``."""
        for name, part in self.parts.items():
            part.workdir = folder / name

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Each part in turn, once all of them agree to run together."""
        for part in self.parts.values():
            part.beside(tuple(self.parts.values()))
        for name in self.parts:
            self.call(name, "begin_run", network, seed)

    def begin_task(self, network: nn.Module, task: Task) -> None:
        """Each part in turn."""
        for name in self.parts:
            self.call(name, "begin_task", network, task)

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        """Each part adds its term to what the parts before it gave."""
        for name in self.parts:
            loss = self.call(name, "loss", network, batch, loss)
            if not isinstance(loss, Tensor) or loss.shape or not loss.requires_grad:
                raise FomoError(
                    f"{name}.loss gives {_seen(loss)}: give a tensor without dimensions, with its gradient."
                )
        return loss

    def after_backward(self, network: nn.Module) -> None:
        """Each part in turn."""
        for name in self.parts:
            self.call(name, "after_backward", network)

    def after_step(self, network: nn.Module) -> None:
        """Each part in turn."""
        for name in self.parts:
            self.call(name, "after_step", network)

    def end_task(self, network: nn.Module, task: Task) -> None:
        """Each part in turn."""
        for name in self.parts:
            self.call(name, "end_task", network, task)

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        """Every part's deployed weights, entered in turn and left in reverse; what happens inside is not metered."""
        with ExitStack() as stack:
            for name in self.parts:
                stack.enter_context(_Metered(self, name, network))
            yield

    def state_dict(self) -> dict[str, Tensor]:
        """Every part's state, its keys prefixed by the part's name: ``NAME.KEY``."""
        state = {f"{name}.{key}": v for name, part in self.parts.items() for key, v in part.state_dict().items()}
        for key, value in state.items():
            if not isinstance(value, Tensor):
                raise FomoError(f"state_dict: {key} is {_seen(value)}: give tensors, as torch.tensor(...).")
        return state

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Give each part its own."""
        for name, part in self.parts.items():
            prefix = f"{name}."
            part.load_state_dict(network, {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})


def _seen(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"a tensor of shape {list(value.shape)}" if value.shape else "a tensor without a gradient"


class _Metered(AbstractContextManager[None]):
    """A part's ``deployed`` with its entry and its exit metered."""

    def __init__(self, methods: Methods, name: str, network: nn.Module) -> None:
        self._methods, self._name = methods, name
        self._inner: AbstractContextManager[None] = methods.call(name, "deployed", network)
        if not isinstance(self._inner, AbstractContextManager):
            raise FomoError(f"{name}.deployed gives {_seen(self._inner)}: decorate it with contextlib.contextmanager.")

    def __enter__(self) -> None:
        with self._methods.meter(f"{self._name}.deployed"):
            self._inner.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        with self._methods.meter(f"{self._name}.deployed"):
            return self._inner.__exit__(*error)
