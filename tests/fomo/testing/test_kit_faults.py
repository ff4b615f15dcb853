"""Faults that are harder to see than those of ``test_testing.py``: each fails its check, and the report says why."""

import copy
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.method import Method
from fomo.testing import CHECKS, conformance
from tests.fomo.testing.test_kit import OutputEnsemble

DEAR = ("budget", "memory", "seed", "pools")
"""Checks that take most of the time."""


def work() -> None:
    """Something that costs FLOPs."""
    torch.ones(50, 50) @ torch.ones(50, 50)


class Averages(Method):
    """Deploys the mean of the weights on the way, and keeps all of it in its state: nothing is wrong with it."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        self.mean = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        for name, p in network.named_parameters():
            self.mean[name].lerp_(p, 0.1)

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        before = {name: p.data for name, p in network.named_parameters()}
        for name, p in network.named_parameters():
            p.data = self.mean[name]
        yield
        for name, p in network.named_parameters():
            p.data = before[name]

    def state_dict(self) -> dict[str, Tensor]:
        return self.mean

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        self.mean = {name: value.clone() for name, value in state.items()}


class LosesAverages(Averages):
    """What is trained is right after a resume, what is deployed is not."""

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        pass


class SaidEnsemble(OutputEnsemble):
    """Nothing is wrong with one that says so."""

    plain_weights = False


class Noise(Method):
    """Moves the weights at random."""

    def numbers(self, task: fomo.Task, shape: tuple[int, ...]) -> Tensor:
        """Which numbers."""
        drawn = fomo.rng.generator(task.seed, "noise", task.number).standard_normal(shape, dtype=np.float32)
        return torch.from_numpy(drawn)

    @torch.no_grad()
    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(self.numbers(task, tuple(parameter.shape)), alpha=1e-3)

    def flops(self, hook: str, network: nn.Module, task: fomo.Task | None) -> int | None:
        return 0 if hook == "end_task" else None


class SameTorchNoise(Noise):
    def numbers(self, task: fomo.Task, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(7))


class SameNumpyNoise(Noise):
    def numbers(self, task: fomo.Task, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.random.default_rng(7).standard_normal(shape, dtype=np.float32))


class SameSeed(Noise):
    def numbers(self, task: fomo.Task, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(fomo.rng.generator(0, "noise").standard_normal(shape, dtype=np.float32))


class HoardsArrays(Method):
    """NumPy's memory is memory."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.kept.append(np.ones(50_000))


class HoardsNowAndThen(HoardsArrays):
    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        if task.number % 2 == 0:
            self.kept.append(torch.ones(1000))


class Idle(Method):
    """Has a hook, so that it is a method, and does nothing in it."""

    def after_step(self, network: nn.Module) -> None:
        pass


class DoubleFromTheStart(Idle):
    def __init__(self) -> None:
        torch.set_default_dtype(torch.float64)


class SeedsWhenSaved(Idle):
    def state_dict(self) -> dict[str, Tensor]:
        torch.manual_seed(0)
        return {}


class GradOff(Method):
    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        torch.set_grad_enabled(False)


class Elsewhere(Method):
    def begin_run(self, network: nn.Module, seed: int) -> None:
        os.chdir("/")
        os.environ["OMP_NUM_THREADS"] = "77"


class ComputesWhenSaved(Idle):
    def state_dict(self) -> dict[str, Tensor]:
        work()
        return {}


class ComputesWhenMade(Idle):
    def __init__(self) -> None:
        work()


class ComputesBeside(Method):
    def beside(self, parts: Any) -> None:
        work()


class ComputesInAThread(Method):
    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        thread = threading.Thread(target=work, name="helper")
        thread.start()
        thread.join()


class ComputesLater(Method):
    """From the third step on."""

    here = 0

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.here = 0

    def after_step(self, network: nn.Module) -> None:
        self.here += 1
        if self.here == 3:
            work()

    def state_dict(self) -> dict[str, Tensor]:
        return {"here": torch.tensor(self.here)}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        self.here = int(state["here"])


class FreeTeacher(Method):
    """Says that it computes nothing, which is right, and not that it keeps a copy of the network."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def flops(self, hook: str, network: nn.Module, task: fomo.Task | None) -> int | None:
        return 0 if hook == "begin_run" else None


class NoLoss(Method):
    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return None  # type: ignore[return-value]


class Detached(Method):
    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return loss.detach()


class PlainNumbers(Idle):
    def state_dict(self) -> dict[str, Tensor]:
        return {"steps": 3}  # type: ignore[dict-item]


class NoContext(Method):
    def deployed(self, network: nn.Module) -> None:  # type: ignore[override]
        pass


class Leaves(Method):
    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        raise SystemExit(0)


@pytest.mark.parametrize("method", [Averages, Noise, SaidEnsemble])
def test_what_is_right_passes(method: type[Method]) -> None:
    conformance(method, "trainable=lnfit").require()


@pytest.mark.parametrize(
    ("check", "method", "why"),
    [
        ("resume", LosesAverages, "evaluated after a resume, it is another model"),
        ("seed", SameTorchNoise, r"torch's \w+\) that are the same for every seed.*fomo\.rng"),
        ("seed", SameNumpyNoise, r"numpy\.random\.default_rng.*the same for every seed"),
        ("seed", SameSeed, r"fomo\.rng\.generator.*the same for every seed"),
        ("memory", HoardsArrays, "other memory grew from task to task"),
        ("memory", HoardsNowAndThen, "tensors alive grew from task to task"),
        ("surroundings", DoubleFromTheStart, "the constructor changed the default dtype"),
        ("surroundings", SeedsWhenSaved, "state_dict changed torch's random state"),
        ("surroundings", Elsewhere, "changed the working directory, .*begin_run changed environment variables"),
        ("budget", ComputesWhenSaved, "nobody charges it: state_dict computes 250,000 FLOPs"),
        ("budget", ComputesWhenMade, "nobody charges it: the constructor computes 250,000 FLOPs"),
        ("budget", ComputesBeside, r"nobody charges it: regularizer\.beside computes 250,000 FLOPs"),
        ("budget", ComputesInAThread, "it starts threads, in which nobody counts: helper"),
        ("budget", ComputesLater, r"in step 2: regularizer\.after_step cost 0\.00025 GFLOPs, planned were 0"),
        (
            "budget",
            FreeTeacher,
            r"its begin: regularizer holds [\d,]+ bytes on the device, planned were 0.*`held_bytes`",
        ),
        ("training", NoLoss, r"regularizer\.loss returns a NoneType"),
        ("training", Detached, r"regularizer\.loss returns a tensor without a gradient"),
        ("training", PlainNumbers, r"regularizer\.steps is a int: give tensors"),
        ("training", NoContext, r"regularizer\.deployed returns a NoneType: .*contextmanager"),
        ("training", Leaves, "SystemExit: 0"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_fault_fails_its_check_alone_and_is_explained(
    check: str, method: type[Method], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the quick checks: ``test_kit.py`` has a plug-in of every kind that passes the dear ones too."""
    beside = {name: text for name, text in CHECKS.items() if name == check or name not in DEAR}
    monkeypatch.setattr("fomo.testing.kit.CHECKS", beside)
    settings = os.getcwd(), dict(os.environ), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state()
    report = conformance(method, "trainable=lnfit")
    assert report.failed == [check]
    with pytest.raises(AssertionError, match=f"{check}: failed: (?s:.*){why}"):
        report.require()
    assert (os.getcwd(), dict(os.environ), torch.get_default_dtype(), torch.is_grad_enabled()) == settings[:4]
    assert torch.equal(torch.get_rng_state(), settings[4])


def test_who_switches_gradients_off_is_named_though_nothing_trains_after_it() -> None:
    report = conformance(GradOff, "trainable=lnfit")
    assert report.failed == ["surroundings", "budget"]  # the rehearsal puts nothing back
    assert "regularizer.end_task changed the grad mode" in {finding.why for finding in report.findings}
