"""What belongs to the benchmark and to nobody's method: looked at around every call of a plug-in, and put back."""

import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fomo import rng
from fomo.budget.flops import FlopMeter, Meter, charged
from fomo.method import HOOKS_IN_STEP, Method
from fomo.training.methods import Methods

MAKERS = ((np.random, "default_rng"), (rng, "generator"))
"""What makes generators that torch knows nothing of."""


class Setting(NamedTuple):
    """How it is read, as something to compare (``None``: there is nothing yet), and set to what was read."""

    read: Callable[[], Any]
    restore: Callable[[Any], object]


def _numpy_state() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    return state[0], state[1].tobytes(), *state[2:]


KINDS = ("cpu", "cuda")


def _set_autocast(enabled: Sequence[bool]) -> None:
    for kind, of_kind in zip(KINDS, enabled, strict=True):
        torch.set_autocast_enabled(kind, of_kind)


def _random_states_of_gpus() -> list[bytes] | None:
    """``None`` as long as nothing was asked of a GPU."""
    if not torch.cuda.is_initialized():
        return None
    return [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]


def _state_of(saved: bytes) -> Tensor:
    return torch.frombuffer(bytearray(saved), dtype=torch.uint8)


def _set_environment(values: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


SETTINGS = {
    "torch's random state": Setting(
        lambda: torch.get_rng_state().numpy().tobytes(),
        lambda state: torch.set_rng_state(_state_of(state)),
    ),
    "torch's random state on a GPU": Setting(
        _random_states_of_gpus, lambda states: torch.cuda.set_rng_state_all([_state_of(each) for each in states])
    ),
    "NumPy's random state": Setting(
        _numpy_state,
        lambda state: np.random.set_state((state[0], np.frombuffer(state[1], dtype=np.uint32), *state[2:])),
    ),
    "Python's random state": Setting(random.getstate, random.setstate),
    "the grad mode": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "the default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "the default device": Setting(
        torch.get_default_device, lambda device: torch.set_default_device(None if device.type == "cpu" else device)
    ),
    "the precision of fp32 products": Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "autocast": Setting(lambda: [torch.is_autocast_enabled(kind) for kind in KINDS], _set_autocast),
    "the number of threads": Setting(torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": Setting(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "cuDNN's benchmark mode": Setting(
        lambda: torch.backends.cudnn.benchmark, lambda value: setattr(torch.backends.cudnn, "benchmark", value)
    ),
    "anomaly detection": Setting(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "NumPy's handling of errors": Setting(np.geterr, lambda values: np.seterr(**values)),
    "the working directory": Setting(os.getcwd, os.chdir),
    "environment variables": Setting(lambda: dict(os.environ), _set_environment),
}


@contextmanager
def watching(faults: dict[str, None], who: str) -> Iterator[None]:
    """Say what is changed inside, as ``who changed what``, and put it back, so that no other check meets it."""
    before = {what: setting.read() for what, setting in SETTINGS.items()}
    try:
        yield
    finally:
        for what, setting in SETTINGS.items():
            if before[what] is not None and setting.read() != before[what]:
                faults[f"{who} changed {what}"] = None
                setting.restore(before[what])


@contextmanager
def settings_kept() -> Iterator[None]:
    """Put everything back afterwards."""
    with watching({}, ""):
        yield


class _Draws(TorchDispatchMode):
    """Notes that torch draws from a generator of somebody's own; the global one is among the settings."""

    def __init__(self, noted: dict[str, None]) -> None:
        super().__init__()
        self.noted = noted

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation."""
        if any(isinstance(each, torch.Generator) for each in (*args, *(kwargs or {}).values())):
            self.noted[f"torch's {func.overloadpacket.__name__}"] = None
        return func(*args, **(kwargs or {}))


@contextmanager
def noting_draws(noted: dict[str, None]) -> Iterator[None]:
    """Note what draws inside: torch's operations, and the makers of NumPy's generators."""
    makers = {(module, name): getattr(module, name) for module, name in MAKERS}

    def noting(module: Any, name: str, *arguments: Any, **options: Any) -> Any:
        noted[f"{module.__name__}.{name}"] = None
        return makers[module, name](*arguments, **options)

    for module, name in MAKERS:
        setattr(module, name, partial(noting, module, name))
    try:
        with _Draws(noted):
            yield
    finally:
        for (module, name), make in makers.items():
            setattr(module, name, make)


@contextmanager
def threads_started() -> Iterator[dict[str, None]]:
    """The names of the threads that are started meanwhile."""
    found: dict[str, None] = {}
    before = threading.getprofile()

    def seen(*event: object) -> None:
        name = threading.current_thread().name
        if not name.startswith("Dummy-"):  # a thread that is about to end has no name of its own any more
            found[name] = None

    threading.setprofile(seen)
    try:
        yield found
    finally:
        threading.setprofile(before)


class Watched(Methods):
    """Parts that are watched at each call.

    Args:
        parts: the parts of the method, by group.
        faults: takes in who changed what.
        free: takes in who computes where nothing is charged.
        draws: takes in what drew random numbers; ``None``: nobody looks.
    """

    def __init__(
        self, parts: Mapping[str, Method], faults: dict[str, None], free: dict[str, None], draws: dict[str, None] | None
    ) -> None:
        super().__init__(parts)
        self.faults = faults
        self.free = free
        self.draws = draws

    def agree(self, name: str) -> None:
        """Whether a part goes with the others."""
        with uncharged(self.faults, self.free, f"{name}.beside"):
            super().agree(name)

    def call(self, name: str, hook: str, *arguments: Any, meter: Meter) -> Any:
        """One hook of one part."""
        modules = arguments[0] if hook in HOOKS_IN_STEP else None
        before = _modes(modules)
        noting = nullcontext() if self.draws is None else noting_draws(self.draws)
        try:
            with watching(self.faults, f"{name}.{hook}"), noting:
                return super().call(name, hook, *arguments, meter=meter)
        finally:
            after = _modes(modules)
            self.faults |= {f"{name}.{hook} changed {what}": None for what in before if before[what] != after[what]}

    def state_dict(self) -> dict[str, Tensor]:
        """Every part's state."""
        with uncharged(self.faults, self.free, "state_dict"):
            return super().state_dict()

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Give each part its own."""
        with uncharged(self.faults, self.free, "load_state_dict"):
            super().load_state_dict(network, state)


@contextmanager
def uncharged(faults: dict[str, None], free: dict[str, None], who: str) -> Iterator[None]:
    """Watch a call that no budget pays for: it has to compute nothing to speak of."""
    meter = FlopMeter()
    with watching(faults, who), meter(who):
        yield
    if meter.phases:
        free[f"{who} computes {charged(meter.phases):,} FLOPs"] = None


def _modes(network: nn.Module | None) -> dict[str, Sequence[bool]]:
    """What is set between the start and the end of a task."""
    if network is None:
        return {}
    return {
        "the training mode of modules": [module.training for module in network.modules()],
        "requires_grad": [p.requires_grad for p in network.parameters()],
    }
