"""Nothing that is not finite is kept, scored or gone on from; the step and the part that made it so are named."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import fomo
from fomo.batch import Batch
from fomo.checkpoint.files import TENSORS, numbered
from fomo.results.layout import CHECKPOINTS, WEIGHTS
from fomo.results.scores_file import read_scores
from fomo.running.prepared import Prepared
from fomo.running.run import execute
from fomo.system.magnitude import largest
from fomo.training.finite import Scalars, fetched
from fomo.training.methods import Methods
from tests import tiny
from tests.faults.compare import events

SHORT = ("budget.steps=4", "checkpoint.every_steps=1")
"""Two tasks of two steps."""


class Late(fomo.Method):
    """Spoils what ``where`` can reach, at its call number ``at``, counted from 0."""

    def __init__(self, where: str, at: int = 1, value: float = float("nan")) -> None:
        self.where = where
        self.at = at
        self.value = value
        self.calls = 0

    def _now(self, hook: str) -> bool:
        self.calls += hook == self.where
        return hook == self.where and self.calls == self.at + 1

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        if self._now("begin_task"):
            network.get_parameter("ln_final.bias").data.fill_(self.value)

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        return loss * self.value if self._now("loss") else loss

    def after_backward(self, network: nn.Module) -> None:
        if self._now("after_backward"):
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(self.value)

    def after_step(self, network: nn.Module) -> None:
        if self._now("after_step"):
            network.get_parameter("ln_final.bias").data[3] = self.value

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        if self._now("end_task"):
            network.get_parameter("ln_final.bias").data.fill_(self.value)

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        kept = network.get_parameter("ln_final.bias").data.clone()
        if self._now("deployed"):
            network.get_parameter("ln_final.bias").data.fill_(self.value)
        yield
        network.get_parameter("ln_final.bias").data.copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        spoilt = self.where == "state_dict" and self.calls > self.at
        self.calls += self.where == "state_dict"
        return {"mean": torch.full((2,), self.value if spoilt else 0.0)}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        assert state["mean"].isfinite().all()


def with_part(part: fomo.Method, *overrides: str) -> Prepared:
    """The tiny run with one more part."""
    prepared = tiny.prepared(*SHORT, *overrides)
    return replace(prepared, methods=Methods({**prepared.methods.parts, "late": part}))


FAULTS = {
    "loss": r"task 1, step 1: the loss after late.loss \(Late\) is nan\..*bad_batch",
    "after_backward": r"task 1, step 1: the gradient norm after late.after_backward \(Late\) is nan\..*bad_batch",
    "after_step": r"task 1, step 1: the largest weight after late.after_step \(Late\) is nan\..*bad_batch",
    "begin_task": r"task 2: 'ln_final.bias' is not finite after late.begin_task \(Late\)",
    "end_task": r"task 2: 'ln_final.bias' is not finite after late.end_task \(Late\)",
    "deployed": r"task 1: 'ln_final.bias' is not finite after late.deployed \(Late\)",
    "state_dict": r"in the state of the part 'late', method.late.mean is not finite\. Look at that part first",
}


@pytest.mark.parametrize("where", FAULTS)
def test_nothing_is_kept_or_scored_and_who_it_was_is_said(where: str, tmp_path: Path) -> None:
    with pytest.raises(fomo.FomoError, match=FAULTS[where]):
        execute(with_part(Late(where)), tmp_path, tiny.Silent())
    kept = numbered(tmp_path / CHECKPOINTS).values()
    assert kept and all(largest(load_file(path / TENSORS).values()).isfinite() for path in kept)
    assert not read_scores(tmp_path).finished
    assert not (tmp_path / "card.json").exists()


def test_an_optimizer_that_overflows_is_named(tmp_path: Path) -> None:
    steep = (
        "optimizer=timm",
        "optimizer.weight_decay=1000",
        "optimizer.name=sgd",
        "optimizer.lr=1e38",
        "schedule=constant",
        "schedule.warmup=0",
    )
    with pytest.raises(fomo.FomoError, match=r"the largest weight after the optimizer's step is (inf|nan)\. Lower opt"):
        tiny.run(tmp_path, *SHORT, *steep, "max_grad_norm=100")


def test_the_last_step_is_no_exception(tmp_path: Path) -> None:
    with pytest.raises(fomo.FomoError, match=r"task 2, step 1: the largest weight after late.after_step"):
        execute(with_part(Late("after_step", at=3, value=float("inf"))), tmp_path, tiny.Silent())
    assert len(read_scores(tmp_path).evaluations) == 2


def test_a_gradient_that_a_part_has_spoilt_is_skipped(tmp_path: Path) -> None:
    execute(with_part(Late("after_backward"), "on_nan=skip"), tmp_path, tiny.Silent())
    assert read_scores(tmp_path).not_finite == ({"task": 1, "step": 1, "lost": 1},)
    assert largest(load_file(tmp_path / WEIGHTS).values()).isfinite()


def test_weights_that_are_spoilt_cannot_be_skipped(tmp_path: Path) -> None:
    with pytest.raises(
        fomo.FomoError, match=r"task 1, step 1: the largest weight after late.after_step \(Late\) is nan"
    ):
        execute(with_part(Late("after_step"), "on_nan=skip"), tmp_path, tiny.Silent())


@pytest.mark.parametrize("at", [1, 3])
def test_weights_that_are_spoilt_are_rewound(at: int, tmp_path: Path) -> None:
    """Call 1 is in the middle of the run, call 3 its last step."""
    execute(with_part(Late("after_step", at), "on_nan=rewind", "rewind_every=2"), tmp_path, tiny.Silent())
    (lost,) = read_scores(tmp_path).not_finite
    assert lost == {"task": 1 + at // 2, "step": 1, "lost": 2, "rewound_to": 0}
    assert read_scores(tmp_path).finished and largest(load_file(tmp_path / WEIGHTS).values()).isfinite()


def test_a_state_that_is_not_finite_is_none_to_rewind_to(tmp_path: Path) -> None:
    with pytest.raises(fomo.FomoError, match=r"method.late.mean is not finite\. Look at"):
        execute(with_part(Late("state_dict"), "on_nan=rewind", "checkpoint.every_steps=null"), tmp_path, tiny.Silent())


def spoil(network: nn.Module) -> None:
    """Spoil what nobody trains."""
    parameter = network.get_parameter("text_projection")
    assert not parameter.requires_grad
    parameter.data[0] = float("nan")


class SpoilsAfterStep(fomo.Method):
    def after_step(self, network: nn.Module) -> None:
        spoil(network)


class SpoilsInLoss(fomo.Method):
    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        spoil(network)
        return loss


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (SpoilsAfterStep, r"task 1, step 0: the largest weight after late.after_step \(Spoils\w+\) is nan\. Look at"),
        (
            SpoilsInLoss,
            r"task 1, step 1: 'text_projection' is not finite, whoever has .*: the loss is nan.*parts write to",
        ),
    ],
)
def test_a_weight_that_nobody_trains_is_looked_at_too_and_cannot_be_skipped(
    part: type[fomo.Method], text: str, tmp_path: Path
) -> None:
    with pytest.raises(fomo.FomoError, match=text):
        often = "checkpoint.every_steps=null"
        execute(with_part(part(), "trainable=locked_text", "on_nan=skip", often), tmp_path, tiny.Silent())


class Leaves(fomo.Method):
    """Puts back something else than it found."""

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        yield
        network.get_parameter("logit_scale").data.fill_(float("nan"))


def test_what_a_deployment_leaves_is_looked_at(tmp_path: Path) -> None:
    text = r"task 1: 'logit_scale' is not finite after late.deployed \(Leaves\) was left\. Look at that part first"
    with pytest.raises(fomo.FomoError, match=text):
        execute(with_part(Leaves()), tmp_path, tiny.Silent())


def test_the_first_of_several_is_named() -> None:
    scalars = Scalars(fetched)
    for name, value in (("the loss", 1.0), ("the loss after a", float("inf")), ("the loss after b", float("nan"))):
        scalars.note(name, torch.tensor(value))
    assert scalars.fault() == "the loss after a is inf" and scalars.values["the loss"] == 1.0


def test_a_large_weight_is_finite_and_numbers_and_nothing_are() -> None:
    """The square of the first is not."""
    assert largest([torch.full((3,), -1e30), torch.tensor([2**40]), torch.empty(0)]) == torch.tensor(1e30)
    assert not largest([torch.zeros(2), torch.tensor([0.0, float("nan")], dtype=torch.bfloat16)]).isfinite()
    assert (
        largest([torch.tensor([1.0, -float("inf")])]) == float("inf") and largest([]) == largest([torch.empty(0)]) == 0
    )
    assert largest([torch.tensor([-3e300], dtype=torch.float64), torch.ones(2, dtype=torch.float16)]) == 3e300


class Telling(fomo.Method):
    """Logs in its hooks."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        self.log("seed", seed)

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        self.log("scale", network.get_parameter("logit_scale"))
        yield

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.log("begun", task.number)

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        self.log("penalty", loss * 0 + 0.25)
        return loss

    def after_step(self, network: nn.Module) -> None:
        self.log("ratio", float("inf"))


def test_what_a_part_logs_stands_in_the_events(device: str, tmp_path: Path) -> None:
    prepared = tiny.prepared(*SHORT, f"runtime.device={device}")
    methods = Methods({**prepared.methods.parts, "late": Telling()})
    methods.begin_run(prepared.model.network, 0)
    execute(replace(prepared, methods=methods), tmp_path, tiny.Silent())
    found = events(tmp_path)
    assert [each["late.seed"] for each in found if each["event"] == "begin_run"] == [0]
    assert [(each["task"], "late.scale" in each) for each in found if each["event"] == "deployed"] == [
        (1, True),
        (2, True),
    ]
    assert [each["late.begun"] for each in found if each["event"] == "begin_task"] == [1, 2]
    steps = [each for each in found if each["event"] == "step"]
    assert len(steps) == 4 and all(each["late.penalty"] == 0.25 and each["late.ratio"] is None for each in steps)


def test_what_is_no_scalar_is_not_logged() -> None:
    with pytest.raises(fomo.FomoError, match=r"log\('x'\): a tensor of shape \[2\]: give a number, as value.mean"):
        Telling().log("x", torch.zeros(2))
