"""Parameters of a guest's own: trained, kept, resumed and charged, and named on the card with what makes them."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import fomo
from fomo.config import factory
from fomo.model.weights import folded, plain_names
from fomo.results.layout import NETWORK, PARTS
from fomo.testing.checks import Kit
from fomo.testing.world import config_of
from fomo.training.added import Added, kept_inside, noting
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.running.test_resume import OFTEN, cut_run

PROMPT = "token_embedding.prompt"


class Prompt(fomo.Method):
    """A vector on every token, registered on the network, and a head that the part keeps and moves itself."""

    plain_weights = False

    def begin_run(self, network: nn.Module, seed: int) -> None:
        embedding = network.get_submodule("token_embedding")
        weight = network.get_parameter("token_embedding.weight")
        embedding.register_parameter("prompt", nn.Parameter(weight.new_zeros(weight.shape[1])))
        embedding.register_forward_hook(lambda module, inputs, output: output + module.prompt)
        self.heads = [nn.Parameter(weight.new_ones(2))]

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        network.get_parameter(PROMPT).requires_grad_(True)

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        self.heads[0].mul_(0.9)

    def state_dict(self) -> dict[str, Tensor]:
        return {"head": self.heads[0]}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        self.heads[0].data.copy_(state["head"])


def test_the_kit_takes_parameters_of_a_guests_own(tmp_path: Path) -> None:
    config = config_of(("trainable=lnfit",))
    checks = Kit(lambda: None, config, (), lambda: {**factory.methods(config).parts, "regularizer": Prompt()}, tmp_path)
    for check in ("training", "scalars", "resume", "budget", "precision"):
        assert checks.run(check).why == "", check
    assert PROMPT in checks.unbroken.trial.trained


def test_a_run_trains_keeps_and_stores_them_and_the_card_says_whose_they_are(device: str, tmp_path: Path) -> None:
    part = (f"regularizer._target_={__name__}.Prompt", "runtime.allow_targets=[tests]", "num_tasks=1")
    overrides = (*part, *tiny.COUNTED, "budget.total_mafs=15", f"runtime.device={device}")
    whole = tiny.run(tmp_path / "whole", *overrides)
    assert cut_run(tmp_path / "run", [5], *overrides, OFTEN) == 1
    assert differences(whole, tmp_path / "run") == []
    owner = {"part": "regularizer", "target": f"{__name__}.Prompt"}
    extra = json.loads((whole / "card.json").read_text())["extra_parameters"]
    assert extra == {
        PROMPT: {**owner, "file": str(NETWORK)},
        "regularizer.heads.0": {**owner, "file": str(PARTS)},
    }
    assert load_file(whole / NETWORK)[PROMPT].any()
    assert load_file(whole / PARTS)["regularizer.heads.0"].max() < 1
    assert (tmp_path / "run" / PARTS).read_bytes() == (whole / PARTS).read_bytes()


def test_a_run_without_a_guest_has_none(tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", "method=lora_ema", "model=pocket", "trainable.rank=2", "num_tasks=1")
    assert json.loads((run / "card.json").read_text())["extra_parameters"] == {}
    assert not (run / PARTS).exists()


def test_what_is_registered_is_noted_once_by_its_first_part() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    added: dict[str, Added] = {}
    with noting(added, "one", Prompt(), network):
        network.register_buffer("count", torch.zeros(1))
        network.add_module("router", nn.Linear(2, 1))
    with noting(added, "two", Prompt(), network):
        network.add_module("router", nn.Linear(2, 1))
    assert added == {
        "count": Added("one", False),
        "router.bias": Added("one", True),
        "router.weight": Added("one", True),
    }
    assert plain_names(network) == set(folded(network))


@pytest.mark.parametrize("keep", ["alone", "listed", "by_name", "module"])
def test_what_a_part_keeps_inside_is_found(keep: str) -> None:
    part, own, network = fomo.Method(), nn.Parameter(torch.ones(1)), nn.Linear(1, 1)
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    kept = {"alone": own, "listed": [own, frozen], "by_name": {"a": own}, "module": nn.ParameterDict({"a": own})}
    vars(part).update(mine=kept[keep], theirs=network.weight, frozen=frozen)
    names = {"alone": "mine", "listed": "mine.0", "by_name": "mine.a", "module": "mine.a"}
    assert list(kept_inside(part, network)) == [names[keep]]


def test_who_registers_something_says_that_weights_are_not_all() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    with (
        pytest.raises(
            fomo.FomoError, match=r"guest \(Method\) registers 'count' on the network.*plain_weights = False"
        ),
        noting({}, "guest", fomo.Method(), network),
    ):
        network.register_buffer("count", torch.zeros(1))
