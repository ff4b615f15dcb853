"""One order to go on in, for runs and the kit; what does not take its state is named, and nothing is to be removed."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import fomo
from fomo.checkpoint.files import as_written
from fomo.checkpoint.state import load_network, load_optimizer, training_state
from fomo.config import factory
from fomo.errors import FomoError
from fomo.running.run import execute
from fomo.testing.checks import Kit
from fomo.testing.world import config_of
from fomo.training.methods import Methods
from fomo.training.resuming import go_on
from tests import tiny
from tests.fomo.helpers import put
from tests.fomo.running.test_resume import OFTEN, Cut, Cutting
from tests.fomo.training.test_step import learner_of


class Shift(nn.Module):
    """Adds a vector for every task so far."""

    def __init__(self) -> None:
        super().__init__()
        self.of_task = nn.ParameterList()

    def forward(self, weight: Tensor) -> Tensor:
        return weight + sum(self.of_task)


class Shifts(fomo.Method):
    """A vector per task, attached where the state says how many there are; the last alone is trained."""

    group = "trainable"
    grows_with_tasks = True
    count = 0

    def _attach(self, network: nn.Module, count: int) -> None:
        if not parametrize.is_parametrized(network, "positional_embedding"):
            parametrize.register_parametrization(network, "positional_embedding", Shift())
        added = network.parametrizations.positional_embedding[0].of_task  # type: ignore[union-attr,index]
        while self.count < count:
            added.append(nn.Parameter(torch.zeros(network.positional_embedding.shape[1])))  # type: ignore[index,union-attr]
            self.count += 1
        network.requires_grad_(False)
        added[-1].requires_grad_(True)

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self._attach(network, self.count + (self.count < task.number))

    def state_dict(self) -> dict[str, Tensor]:
        return {"count": torch.tensor(self.count)}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        if state["count"]:
            self._attach(network, int(state["count"]))


def test_the_kit_makes_the_optimizer_when_a_run_does(tmp_path: Path) -> None:
    """What ``load_state_dict`` attaches is what the optimizer is over."""
    config = config_of(())
    parts = factory.methods(config).parts
    kit = Kit(lambda: None, config, (), lambda: {**parts, "trainable": Shifts()}, tmp_path)
    assert kit.run("resume").why == ""


class Broken(fomo.Method):
    """Asks its state for a key that it never put there."""

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        state["number"].item()


def test_a_part_that_does_not_take_its_state_is_named() -> None:
    with pytest.raises(FomoError, match=r"second\.load_state_dict \(Broken\) failed: KeyError: 'number'\."):
        Methods({"first": fomo.Method(), "second": Broken()}).load_state_dict(
            nn.Linear(1, 1), {"first.number": torch.ones(1)}
        )


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"weight": (1, 2)}, "the network has bias, the state lacks it"),
        (
            {"weight": (1, 2), "bias": (1,), "prompt": (3,), "router": ()},
            "state has prompt, the network lacks it and 1 more",
        ),
        ({"weight": (1, 3), "bias": (1,)}, r"weight is \[1, 3\] in the state, \[1, 2\] in the network"),
    ],
)
def test_a_network_that_is_made_in_another_way_is_refused_by_name(state: dict[str, tuple[int, ...]], why: str) -> None:
    with pytest.raises(FomoError, match=f"{why}.*load_state_dict have to attach again"):
        load_network(nn.Linear(2, 1), {name: torch.zeros(shape) for name, shape in state.items()})


def test_an_optimizer_over_other_parameters_is_refused() -> None:
    make = partial(torch.optim.SGD, lr=0.1)
    kept = make(nn.Linear(2, 1).parameters()).state_dict()
    with pytest.raises(FomoError, match=r"over \[1\] parameters by group, its state over \[2\]: after load_state_dict"):
        load_optimizer(make([nn.Parameter(torch.ones(1))]), kept)


def test_an_odd_state_is_moved_and_not_removed(tmp_path: Path) -> None:
    with (
        pytest.raises(FomoError, match=r"its ledger is not one.*Moved out of the way it is kept") as raised,
        as_written(tmp_path, "ledger"),
    ):
        raise KeyError("steps")
    assert "emove" not in str(raised.value) and "elete" not in str(raised.value)


SOURCE = '''
import torch

import fomo


class Forgetful(fomo.Method):
    """Attaches a parameter in its second task, and not when it goes on."""

    plain_weights = False

    def begin_task(self, network, task):
        if task.number == 1:
            network.register_buffer("mark", torch.ones(1))
'''


def test_a_run_that_cannot_go_on_says_what_is_wrong_and_keeps_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "forgetful_part.py", SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    part = ("regularizer._target_=forgetful_part.Forgetful", "runtime.allow_targets=[forgetful_part]")
    overrides = (*part, "budget.steps=2", OFTEN)
    with pytest.raises(Cut):
        execute(tiny.prepared(*overrides), tmp_path / "run", Cutting(8))  # the second task's step
    text = r"000\d+ stays as it is, but cannot be gone on from: .*state has mark, the network lacks it.*fomo check"
    for _ in range(2):
        with pytest.raises(FomoError, match=text):
            execute(tiny.prepared(*overrides), tmp_path / "run", tiny.Silent())


class Growing(fomo.Method):
    """Registers one more parameter in every task; when it goes on, the last one before those of earlier tasks."""

    plain_weights = False
    grows_with_tasks = True

    def __init__(self) -> None:
        self.count = 0

    def _register(self, network: nn.Module, number: int) -> None:
        if f"prompt_{number}" not in dict(network.named_parameters()):
            network.register_parameter(f"prompt_{number}", nn.Parameter(torch.full((4,), 0.1 * number)))
            self.count += 1

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self._register(network, task.number)

    def state_dict(self) -> dict[str, Tensor]:
        return {"count": torch.tensor(self.count)}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        for number in range(1, int(state["count"]) + 1):
            self._register(network, number)


def test_an_optimizer_goes_on_with_what_belongs_to_each_parameter_by_name() -> None:
    learner, again = (learner_of(Growing()) for _ in range(2))
    for number in (1, 2):
        learner.methods.each("begin_task", learner.network, learner.task(number, 2, 3, 0))
    optimizer = learner.optimizer()
    assert optimizer
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        parameter.grad = torch.full_like(parameter, float(parameter.flatten()[0]))
    optimizer.step()
    state = training_state(learner.network, learner.methods, optimizer)
    del again.network.prompt_1  # the other process has not begun the first task
    resumed = go_on(again, state, again.task(2, 2, 3, 0))
    assert resumed
    names = {id(p): name for name, p in again.network.named_parameters()}
    order = [names[id(p)] for group in resumed.param_groups for p in group["params"]]
    assert order == state["trained"]
    prompts = [[n for n in each.network.state_dict() if "prompt" in n] for each in (learner, again)]
    assert prompts == [["prompt_1", "prompt_2"], ["prompt_2", "prompt_1"]]


def test_what_was_trained_and_is_not_is_named() -> None:
    learner = learner_of(fomo.Method())
    optimizer = learner.optimizer()
    state = training_state(learner.network, learner.methods, optimizer)
    learner.network.get_parameter("logit_scale").requires_grad_(False)
    with pytest.raises(FomoError, match="'logit_scale' was trained when the state was kept, and is not now"):
        go_on(learner, state)


class Replacing(fomo.Method):
    """Decays a weight by putting another parameter in its place, which no optimizer has heard of."""

    def after_step(self, network: nn.Module) -> None:
        with torch.no_grad():
            network.visual.proj = nn.Parameter(network.visual.proj * 0.99)  # type: ignore[union-attr,operator]


def test_parameters_that_take_the_place_of_trained_ones_are_refused_before_a_score_is_made(tmp_path: Path) -> None:
    overrides = (f"regularizer._target_={__name__}.Replacing", "runtime.allow_targets=[tests]")
    with pytest.raises(FomoError, match=r"1 parameters that the optimizer moves .* \(visual\.proj\)"):
        tiny.run(tmp_path / "run", "stream.adaptation=[pocket_flags]", "budget.steps=2", "num_tasks=1", *overrides)
