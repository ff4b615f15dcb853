"""Encoding a batch in pieces: the gradient is that of the whole batch, and less memory is needed."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fomo.batch import Batch
from fomo.budget.flops import charged, unmetered
from fomo.errors import FomoError
from fomo.method import Method, Task
from fomo.model.clip import train_mode
from fomo.results.layout import WEIGHTS
from fomo.training.methods import Methods
from fomo.training.micro_batches import check_deterministic
from fomo.training.step import Learner
from tests import tiny
from tests.fomo.budget import settings


class Distant(Method):
    """A penalty on the weights, and one on all features at once."""

    def loss(self, network: nn.Module, batch: Batch, loss: Tensor) -> Tensor:
        assert batch.features is not None and len(batch.features.images) == len(batch.images)
        apart = (batch.features.images @ batch.features.images.T).square().mean()
        return loss + apart + 0.1 * network.get_parameter("logit_scale").square()


def gradients(size: int | None, *overrides: str, rows: int = 10, device: str = "cpu") -> dict[str, Tensor]:
    """Of one step on random data, the features' gradient seen by a part included; double precision."""
    prepared = tiny.prepared(*overrides, f"runtime.device={device}", "runtime.precision=fp32")
    network = prepared.model.network.double()
    methods = Methods({**prepared.methods.parts, "distant": Distant()})
    methods.begin_run(network, 0)
    methods.each("begin_task", network, Task(1, 2, 3, 0))
    network.double()
    random = torch.Generator().manual_seed(0)
    for parameter in network.parameters():  # adapters start at 0, where one factor has no gradient
        if parameter.requires_grad and not parameter.any():
            parameter.data.copy_(torch.randn(parameter.shape, generator=random) * 0.02)
    images = torch.randn(rows, 3, 32, 32, generator=random, dtype=torch.double)
    tokens = torch.randint(1, 900, (rows, network.context_length), generator=random)
    train_mode(network)
    trained = [p for p in network.parameters() if p.requires_grad]
    learner = Learner(network, methods, None, 1e9, None, prepared.resolved.config.runtime.autocast, size)  # type: ignore[arg-type]
    batch = Batch(images.to(device), tokens.to(device), (rows, 0, 0))
    learner.step(torch.optim.SGD(trained, lr=0.0), batch, unmetered)
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


MODELS = [
    ("model=pocket_resnet",),
    ("model=pocket",),
    ("model=pocket", "method=lora", "trainable.placement=all"),
    ("model=pocket", "method=dora", "runtime.grad_checkpointing=true"),
    ("method=locked_text",),
    ("model=pocket", "method=lwf"),
]


@pytest.mark.parametrize("overrides", MODELS, ids=" ".join)
def test_the_gradient_is_that_of_the_whole_batch(overrides: tuple[str, ...], device: str) -> None:
    """Pieces of 4, 4 and 2 rows. In double precision, so that what is left is no difference in the mathematics."""
    whole, small = (gradients(size, *overrides, device=device) for size in (None, 4))
    assert whole.keys() == small.keys()
    largest = max(float(value.abs().max()) for value in whole.values())
    worst = max(float((whole[name] - small[name]).abs().max()) for name in whole)
    assert worst <= 1e-10 * largest and largest > 1e-3


def test_summed_gradients_of_small_batches_would_be_another(tmp_path: Path) -> None:
    """The comparison above can fail: pieces that are compared within themselves alone have another gradient."""
    whole = gradients(None)
    other = gradients(None, rows=5)
    assert float((whole["logit_scale"] - other["logit_scale"]).abs()) > 1e-4


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Of a device, the tiny run on it, every batch encoded at once."""
    return cache(lambda device: tiny.run(tmp_path_factory.mktemp("whole") / "run", f"runtime.device={device}"))


def test_a_run_in_pieces_ends_where_the_whole_one_does(whole_run: Callable[[str], Path], tmp_path: Path) -> None:
    """Six steps in fp32; weights moved by up to 1e-3 in each of them."""
    whole = load_file(whole_run("cpu") / WEIGHTS)
    small = load_file(tiny.run(tmp_path / "small", "runtime.micro_batch=10") / WEIGHTS)
    base = tiny.snapshot(tiny.prepared().model.network)
    apart = sum(float((whole[name] - small[name]).double().square().sum()) for name in whole) ** 0.5
    moved = sum(float((whole[name] - base[name]).double().square().sum()) for name in whole) ** 0.5
    assert apart < 0.02 * moved


def test_a_micro_batch_as_large_as_the_batch_changes_no_bit(
    device: str, whole_run: Callable[[str], Path], tmp_path: Path
) -> None:
    same = tiny.run(tmp_path / "same", f"runtime.device={device}", "runtime.micro_batch=24")
    assert (whole_run(device) / WEIGHTS).read_bytes() == (same / WEIGHTS).read_bytes()


def test_it_costs_a_forward_pass_and_saves_memory() -> None:
    setting = settings.setting("model=pocket", "batch_size=256")
    whole, small = setting.rehearse(), setting.having(micro_batch=32).rehearse()
    one, other = whole.tasks[0].ordinary, small.tasks[0].ordinary
    assert one and other
    loss = 2 * 256 * 256 * 128  # the product of all features, made once in both
    forward = one["forward"].charged - loss
    assert charged(other) - charged(one) == pytest.approx(forward, rel=1e-3)
    assert small.peak_bytes < 0.6 * whole.peak_bytes


def test_planned_is_charged(device: str, tmp_path: Path) -> None:
    counted = ("model=pocket", "method=lora", *tiny.COUNTED, "runtime.micro_batch=10", f"runtime.device={device}")
    ledger = json.loads((tiny.run(tmp_path / "run", *counted) / "ledger.json").read_text())
    assert ledger["charged"] == ledger["planned"] and ledger["memory"]["multiplier"] < 1


def test_what_cannot_be_exact_is_refused() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.25))
    with pytest.raises(FomoError, match=r"runtime.micro_batch=8: '1' drops a share of 0.25.*grad_checkpointing"):
        check_deterministic(network, 8)
    check_deterministic(network, None)
    check_deterministic(nn.Sequential(nn.Dropout(0.0)), 8)
    with pytest.raises(FomoError, match=r"runtime.micro_batch=0: allowed are 1 and above, or null"):
        tiny.resolved("runtime.micro_batch=0")
