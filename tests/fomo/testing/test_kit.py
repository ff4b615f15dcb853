"""Every check of the conformance kit can fail: for each there is a plug-in that fails it and no other."""

import importlib
import json
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fomo
from fomo.cli import main
from fomo.config.plugins import check_method
from fomo.method import Method
from fomo.testing import CHECKS, conformance
from fomo.testing.trial import differing
from fomo.testing.watch import watching
from fomo.testing.world import plain_name, world
from methods.regularizers.distillation import frozen_copy
from tests.fomo.helpers import put

QUICK = "trainable=lnfit"


class Good(Method):
    """Holds the squared norm of what is trained, by a strength."""

    def __init__(self, strength: float = 0.1) -> None:
        self.strength = strength

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return loss + self.strength * torch.stack([each.square().sum() for each in trained]).sum()


class WrongHook(Method):
    """``loss`` lacks an argument."""

    def loss(self, network: nn.Module, batch: fomo.Batch) -> Tensor:  # type: ignore[override]
        return torch.zeros([])


class Setting(Method):
    """A mixin's attribute is misspelt."""

    def after_step(self, network: nn.Module) -> None:
        pass

    restarts_adapter = True


class NamedWrongly(Method):
    """A hook is misspelt, and one that is right stands beside it."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return loss

    def begin_tasks(self, network: nn.Module, task: fomo.Task) -> None:
        pass


class Inherits(NamedWrongly):
    """The class that it derives from has the fault."""


class OtherWords(Method):
    """The words of a hook in another order."""

    def task_end(self, network: nn.Module, task: fomo.Task) -> None:
        pass


class NoHook(Method):
    """As another framework calls them."""

    def on_train_batch_end(self, network: nn.Module) -> None:
        pass

    def state_dict(self) -> dict[str, Tensor]:
        return {}


class HookIsNoFunction(Method):
    """A number in the place of a hook."""

    loss = 3  # type: ignore[assignment]


class NoNumber(Method):
    """The loss is not a number."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return loss * float("nan")


class Untrained(Method):
    """Registers a parameter to be trained, which what is trained freezes again, and leaves it so."""

    plain_weights = False

    def begin_run(self, network: nn.Module, seed: int) -> None:
        network.register_parameter("prompt", nn.Parameter(torch.zeros(3)))


class Divides(Method):
    """Weighs the rows of P by how many there are."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        assert batch.features is not None
        return loss + 0.1 * batch.features.images[: batch.counts[0]].square().mean()


class Matrices(Method):
    """Takes every parameter for an array that has rows."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return loss + 1e-4 * torch.stack([each.square().sum() / each.shape[0] for each in trained]).sum()


class Flattens(Method):
    """Leaves the temperature as a vector in what is deployed."""

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        scale = network.get_parameter("logit_scale")
        value, scale.data = scale.data, scale.data.reshape(1)
        yield
        scale.data = value


class Blackens(Method):
    """Uses the memory of its batches."""

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        for batch in task.update_batches(20, 40):
            batch.images.zero_()


class Reseeds(Method):
    """Sets the global random state."""

    def after_step(self, network: nn.Module) -> None:
        torch.manual_seed(0)


class MovesStatistics(Method):
    """Lets BatchNorm follow the batches."""

    def after_backward(self, network: nn.Module) -> None:
        for name, value in network.named_buffers():
            if name.endswith("running_mean"):
                value.mul_(0.9)


class Centres(Method):
    """Takes the mean of the rows off the features, of a few rows at once where a batch is encoded in pieces."""

    plain_weights = False

    def begin_run(self, network: nn.Module, seed: int) -> None:
        visual = network.get_submodule("visual")
        visual.register_forward_hook(lambda module, inputs, output: output - 0.1 * output.mean(0))


class SpoilsGradients(Method):
    """Makes a gradient that is not finite, once."""

    num_steps = 0

    def after_backward(self, network: nn.Module) -> None:
        self.num_steps += 1
        for parameter in network.parameters():
            if parameter.grad is not None and self.num_steps == 2:
                parameter.grad.mul_(float("nan"))

    def state_dict(self) -> dict[str, Tensor]:
        return {"num_steps": torch.tensor(self.num_steps)}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        self.num_steps = int(state["num_steps"])


class Dice(Method):
    """Draws from a source that no seed determines."""

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        for parameter in network.parameters():
            parameter.data.mul_(1 + 1e-3 * parameter.requires_grad * secrets.randbelow(1000) / 1000)


class Forgets(Method):
    """Throws away what was trained."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        self.start = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        for name, parameter in network.named_parameters():
            parameter.data.copy_(self.start[name])


class Counts(Method):
    """Its steps matter, and are in no state."""

    num_steps = 0

    def after_step(self, network: nn.Module) -> None:
        self.num_steps += 1
        for parameter in network.parameters():
            parameter.data.mul_(1 + 1e-4 * self.num_steps * parameter.requires_grad)


class OutputEnsemble(Method):
    """Scores the mean of the features of the base model and of the trained one."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        self.base = frozen_copy(network)

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        own: Any = network
        one, other = own.encode_image, self.base.encode_image
        own.encode_image = lambda images, normalize: F.normalize(one(images, True) + other(images, True), dim=-1)
        yield
        del own.encode_image


class Asks(Method):
    """Wants to know the loss, which a rehearsal does not."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return loss * (2 if loss.item() > 100 else 1)


class Hoards(Method):
    """Keeps the weights of every task."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.kept.append(network.get_parameter("token_embedding.weight").detach().clone())


class SinglePrecision(Method):
    """Mixes features with numbers that are in fp32 always."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        assert batch.features is not None
        torch.zeros(128).lerp_(batch.features.images.detach().mean(0), 0.5)
        return loss


BAD: Sequence[tuple[str, type[Method], str]] = (
    ("contract", WrongHook, r"WrongHook.loss.*cannot be called as loss\(network, batch, loss\)"),
    ("training", NoNumber, r"task 1, step 0: the loss after regularizer.loss \(NoNumber\) is nan"),
    ("training", SpoilsGradients, r"task 1, step 1: the gradient norm after regularizer.after_backward .* is nan"),
    ("pools", Divides, "the loss is nan in step 1"),
    ("training", Untrained, r"registered to be trained, yet frozen when tasks begin.*begin_task\): prompt"),
    ("contract", Setting, r"nobody calls Setting.restarts_adapter. Did you mean 'restarts_adapters'"),
    ("contract", NamedWrongly, "nobody calls NamedWrongly.begin_tasks. Did you mean the hook 'begin_task'"),
    ("contract", Inherits, "nobody calls Inherits.begin_tasks"),
    ("contract", OtherWords, "Did you mean the hook 'end_task'"),
    ("contract", NoHook, "NoHook overrides no hook.*Nobody calls 'on_train_batch_end'. Hooks: beside, begin_run, "),
    (
        "contract",
        HookIsNoFunction,
        r"HookIsNoFunction.loss is of type int, and is called as loss\(network, batch, loss",
    ),
    ("scalars", Matrices, r"temperature.*IndexError.*test_kit.py, line \d+: return loss \+ 1e-4"),
    ("scalars", Flattens, r"deployed: logit_scale is torch.float32 \[1\], was torch.float32 \[\]"),
    ("inputs", Blackens, "it altered images of a batch, at the end of a task"),
    ("surroundings", Reseeds, "regularizer.after_step changed torch's random state"),
    ("surroundings", MovesStatistics, "not trained, yet moved:.*running_mean"),
    ("determinism", Dice, "differs when it is run again"),
    ("seed", Forgets, "training has no effect"),
    ("resume", Counts, "resumed between tasks, it ends elsewhere"),
    ("deployment", OutputEnsemble, r"features differ by up to 0\.\d+, .*or set plain_weights = False"),
    ("budget", Asks, "regularizer.loss.*fake tensors.*`flops`"),
    ("memory", Hoards, "tensors alive grew from task to task"),
    ("precision", SinglePrecision, "RuntimeError.*dtype"),
    ("pieces", Centres, "with runtime.micro_batch=5 the first of the losses is .*, without it"),
)


def test_every_check_has_a_plug_in_that_fails_it() -> None:
    """That of several processes has its own in ``tests/fomo/training/test_spread.py``."""
    assert {check for check, _, _ in BAD} == set(CHECKS) - {"processes"}


@pytest.mark.parametrize(("check", "method", "why"), BAD, ids=[method.__name__ for _, method, _ in BAD])
def test_a_fault_fails_its_check_and_no_other(check: str, method: type[Method], why: str) -> None:
    trainable = "trainable=full" if check == "scalars" else QUICK
    model = "model=pocket_resnet" if method is MovesStatistics else "model=pocket"
    before = random.getstate(), torch.get_rng_state()
    report = conformance(method, trainable, model)
    assert report.failed == [check] and not report.passed
    with pytest.raises(AssertionError, match=f"{check}: failed: (?s:.*){why}"):
        report.require()
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


@dataclass
class Spelt(Method):
    """Settings and helpers whose names are near to the contract's."""

    groups: int = 4
    losses: int = 0

    def loss_of(self, network: nn.Module) -> float:
        """A helper."""
        return float(self.groups)

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.losses += 1


@pytest.mark.parametrize("found", [Spelt, Good, Method])
def test_names_of_its_own_are_no_slips(found: type[Method]) -> None:
    check_method(found, "it")


def test_a_good_one_passes_with_its_settings() -> None:
    conformance(Good, QUICK, settings={"strength": 0.2}).require()


def test_what_grows_by_definition_says_so() -> None:
    class Declared(Hoards):
        grows_with_tasks = True

    conformance(Declared, QUICK).require()


@pytest.mark.parametrize("found", [Good(), dict, lambda: Good(), "Good"])
def test_what_is_no_method_class_is_refused(found: object) -> None:
    report = conformance(found)
    assert report.failed == ["contract"] and "not a subclass of fomo.Method" in report.findings[0].why
    assert {finding.status for finding in report.findings[1:]} == {"not run"}


def test_bits_are_compared_not_numbers() -> None:
    nan = torch.tensor([float("nan")])
    assert differing({"a": nan}, {"a": nan.clone()}) == []
    assert differing({"a": torch.tensor([0.0])}, {"a": torch.tensor([-0.0])}) == ["a"]
    assert differing({"a": nan}, {"a": nan.bfloat16(), "b": nan}) == ["a", "b"]
    assert differing({"a": torch.ones(1)}, {"a": torch.ones([])}) == ["a"]


def test_model_and_batches_lie_on_the_device_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fomo.system.runtime.check_device", lambda device: None)  # one that every machine has
    here = world(("model=pocket",), 0, "meta")
    assert {p.device.type for p in here.model.network.parameters()} == {here.of_task[0][0].images.device.type}


def test_the_random_state_of_a_gpu_is_looked_at_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [torch.zeros(16, dtype=torch.uint8)]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [state.clone() for state in states])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda given: states.__setitem__(slice(None), given))
    faults: dict[str, None] = {}
    with watching(faults, "part.loss"):
        states[0] += 1
    assert list(faults) == ["part.loss changed torch's random state on a GPU"] and not states[0].any()


class Rolls(Method):
    """Draws from the generator of the device, which is nobody's to move."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return loss + 0 * torch.rand((), device=loss.device)


@pytest.mark.gpu
def test_what_moves_the_generator_of_the_gpu_is_told() -> None:
    report = conformance(Rolls, QUICK, device="cuda")
    (failed,) = (each for each in report.findings if each.status != "ok")
    assert failed.check == "surroundings" and "loss changed torch's random state on a GPU" in failed.why


def test_plain_names_of_adapted_weights() -> None:
    assert plain_name("a.b.parametrizations.weight.0.down") == "a.b.weight"
    assert plain_name("parametrizations.weight.original") == "weight"
    assert plain_name("logit_scale") == "logit_scale"


SOURCE = """import fomo


class Fine(fomo.Method):
    def __init__(self, strength: float = 1.0) -> None:
        self.strength = 1 / strength

    def after_steps(self, network):
        pass
"""


def test_the_command_says_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "someones_part.py", SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for arguments, texts in (
        (["someones_part:Fine"], ["failed  contract", "Did you mean the hook 'after_step'?", "not run  training"]),
        (["someones_part.Fine"], ["failed  contract", "Did you mean the hook 'after_step'?"]),
        (["someones_part:Fin"], ["has no 'Fin'", "Did you mean 'Fine'?"]),
        (["someones_parts:Fine"], ["'someones_parts' cannot be imported"]),
        (["finetun"], ["unknown option of method 'finetun'", "Did you mean 'finetune'?"]),
        (
            ["finetune", "--device", "cuda:99"],
            ["runtime.device=cuda:99: there is no such device", "Take auto or cpu"],
        ),
    ):
        with pytest.raises(SystemExit) as left:
            main(["check", *arguments])
        printed = "".join(capsys.readouterr())
        assert left.value.code == 2 and all(text in printed for text in texts), printed
    with pytest.raises(SystemExit) as left:
        main(["check", "someones_part:Fine", "--json"])
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert left.value.code == 2 and not found["passed"] and found["method"] == "someones_part:Fine"
    assert {each["check"]: each["status"] for each in found["checks"]}["contract"] == "failed"
    assert "failed  contract" in shown.err


def test_an_error_in_a_constructor_names_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "divides.py", SOURCE.replace("after_steps", "after_step"))
    monkeypatch.syspath_prepend(tmp_path)
    divides = importlib.import_module("divides")
    why = conformance(divides.Fine, settings={"strength": 0}).findings[0].why
    assert "ZeroDivisionError: division by zero (divides.py, line 6: self.strength = 1 / strength)" in why
