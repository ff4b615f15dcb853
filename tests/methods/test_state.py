"""What a method keeps in a checkpoint is all that it needs; and its hooks can be counted on fake tensors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import fomo
from fomo.compose import groups
from fomo.method import Methods
from fomo.model import read_config
from fomo.parts import build
from tests import tiny
from tests.methods.steps import MODEL, NUM_STEPS, Run, resolved, step

# Parts beside the presets: the penalties on an adapter's own parameters.
BESIDE = [
    "method=ewc trainable=lora regularizer.num_samples=60",
    "method=si trainable=dora",
    "method=zscl trainable=vera",
]
QUICK = {"ewc": " regularizer.num_samples=60"}
METHODS = [f"method={name}{QUICK.get(name, '')}" for name in groups()["method"]] + BESIDE
State = tuple[dict[str, Tensor], dict[str, Tensor]]


def assert_equal(one: State, other: State) -> None:
    for a, b in zip(one, other, strict=True):
        assert not tiny.changed(a, b)


@pytest.fixture(scope="module", params=METHODS)
def unbroken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], State]:
    """Overrides, and the state after two tasks in one go."""
    overrides = request.param.split()
    run = Run(tmp_path_factory.mktemp("unbroken"), *overrides)
    for number in (1, 2):
        run.whole(number)
    return overrides, run.state()


def test_two_tasks_are_one_and_a_fresh_start_from_its_state(unbroken: tuple[list[str], State], tmp_path: Path) -> None:
    overrides, expected = unbroken
    first, second = Run(tmp_path, *overrides), Run(tmp_path, *overrides)
    first.whole(1)
    second.load(first.state())
    assert_equal(second.state(), first.state())
    second.whole(2)
    assert_equal(second.state(), expected)


def test_a_task_may_be_left_and_taken_up_between_two_steps(unbroken: tuple[list[str], State], tmp_path: Path) -> None:
    overrides, expected = unbroken
    first, second = Run(tmp_path, *overrides), Run(tmp_path, *overrides)
    first.whole(1)
    first.begin(2)
    first.steps(2, 0, 2)
    second.begin(2)
    second.load(first.state())
    if first.optimizer is not None and second.optimizer is not None:
        second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.steps(2, 2)
    second.end(2)
    assert_equal(second.state(), expected)


def fake_batch(size: int, pool: int) -> fomo.Batch:
    return fomo.Batch(torch.randn(size, 3, 32, 32), torch.ones(size, 16, dtype=torch.long), (pool, size - pool, 0))


def fake_batches(size: int, max_samples: int | None = None) -> Iterator[fomo.Batch]:
    return iter([fake_batch(size, 0), fake_batch(3, 0)])


@pytest.mark.parametrize("method", [m for m in METHODS if m != "method=offline_merge"])  # a file has values
def test_hooks_need_no_values(method: str, tmp_path: Path) -> None:
    """Two tasks on tensors that have a shape and nothing else."""
    config = resolved(MODEL, *method.split()).config
    parts = {part: build(part, getattr(config, part)) for part in ("trainable", "regularizer", "merging")}
    methods, about = Methods(parts), read_config("pocket_vit")
    methods.work_in(tmp_path)
    with FakeTensorMode():
        network: nn.Module = CLIP(about["embed_dim"], dict(about["vision_cfg"]), dict(about["text_cfg"]))
        methods.begin_run(network, 0)
        for number in (1, 2):
            task = fomo.Task(number, 2, NUM_STEPS, 0, 27, fake_batches)
            methods.begin_task(network, task)
            trained = [p for p in network.parameters() if p.requires_grad]
            if trained:
                assert step(network, methods, torch.optim.SGD(trained, lr=0.1), fake_batch(24, 8)).shape == ()
            methods.end_task(network, task)
            with methods.deployed(network):
                assert network(torch.randn(1, 3, 32, 32), torch.ones(1, 16, dtype=torch.long))[0].shape == (1, 128)
