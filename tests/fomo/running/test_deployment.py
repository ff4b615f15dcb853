"""What is scored is what is stored, task 0 is the base model, and what is more than weights says so."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import fomo
from fomo.errors import FomoError
from fomo.model import plain
from fomo.report.leaderboard import leaderboard
from fomo.results.layout import NETWORK, WEIGHTS
from fomo.results.scores_file import read_scores
from methods.regularizers.distillation import frozen_copy
from tests import tiny


def used(part: type[fomo.Method]) -> tuple[str, str]:
    """Overrides that make it the regulariser."""
    return f"regularizer._target_={part.__module__}.{part.__name__}", "runtime.allow_targets=[tests]"


class Ensemble(fomo.Method):
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


class EnsembleLater(Ensemble):
    """There is nothing to deploy before the first task is ended."""

    def begin_run(self, network: nn.Module, seed: int) -> None: ...

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.start = frozen_copy(network)

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.base = self.start


class SaidEnsemble(Ensemble):
    plain_weights = False


class Grows(fomo.Method):
    """The network has a parameter that no model of its kind has."""

    def begin_run(self, network: nn.Module, seed: int) -> None:
        network.register_parameter("prompt", nn.Parameter(torch.zeros(3)))


class Prunes(fomo.Method):
    """Takes the smaller half of every matrix away before the first task."""

    @torch.no_grad()
    def begin_run(self, network: nn.Module, seed: int) -> None:
        for parameter in network.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(parameter.abs() >= parameter.abs().flatten().median())


class OnceOnly(fomo.Method):
    """Deploys half of every weight, until the last evaluation is made."""

    last = False

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.last = task.number == task.num_tasks

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        weights = {name: value / 2 for name, value in fomo.weights.folded(network).items()}
        with fomo.weights.swapped(network, weights if self.last else fomo.weights.folded(network)):
            self.last = False
            yield


def num_events(run: Path, kind: str) -> int:
    events = [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]
    return events.count(kind)


def test_what_is_more_than_weights_is_refused_before_the_first_evaluation(tmp_path: Path) -> None:
    text = "features differ by up to 0"
    with pytest.raises(FomoError, match=f"not what would be stored.*{text}.*plain_weights = False"):
        tiny.run(tmp_path, *used(Ensemble))
    assert num_events(tmp_path, "evaluation") == num_events(tmp_path, "step") == 0


def test_what_the_model_has_no_place_for_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"Grows.* registers 'prompt' on the network.*plain_weights = False"):
        tiny.run(tmp_path / "run", *used(Grows))
    assert not (tmp_path / "run").exists()


def test_what_can_be_opened_later_alone_is_refused_at_the_first_evaluation_of_it(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"not what would be stored \(regularizer\): its features differ"):
        tiny.run(tmp_path, *used(EnsembleLater))
    assert num_events(tmp_path, "evaluation") == 1 and not (tmp_path / "card.json").exists()


def test_one_that_says_so_is_scored_and_marked_and_stores_no_weights_that_mislead(tmp_path: Path) -> None:
    run = tiny.run(tmp_path, *used(SaidEnsemble))
    card = json.loads((run / "card.json").read_text())
    assert "no plain weights" in card["marks"] and card["weights_sha256"] == ""
    assert not (run / WEIGHTS).exists() and load_file(run / NETWORK)
    (entry,) = leaderboard([run]).entries
    assert "no plain weights" in entry.caveats


def test_task_0_is_the_base_model_whatever_is_moved_before_the_first_task(tmp_path: Path) -> None:
    pruned = tiny.run(tmp_path / "pruned", *used(Prunes), "trainable=nothing", "method=frozen")
    first, *later = read_scores(pruned).evaluations
    base = read_scores(tiny.run(tmp_path / "base", "method=frozen")).evaluations[0]
    assert first == base and all(each.scores != base.scores for each in later)


def test_weights_that_are_stored_are_those_of_the_last_evaluation(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="not what would be stored"):
        tiny.run(tmp_path, *used(OnceOnly))
    assert num_events(tmp_path, "evaluation") == 3 and not (tmp_path / "card.json").exists()


def test_the_check_leaves_every_bit(tmp_path: Path) -> None:
    network = tiny.prepared("method=frozen").model.network
    before = tiny.snapshot(network)
    with plain.nudged(network):
        assert tiny.changed(before, network.state_dict())
    assert not tiny.changed(before, network.state_dict())
