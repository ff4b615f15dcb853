"""Activations in eight bits: rounding by hand, what is packed and what is not, gradients within the bound, refusals."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.config import factory
from fomo.results.config_file import comparable
from fomo.results.scores_file import read_scores
from fomo.testing import conformance_of
from fomo.testing.trial import Trial
from fomo.testing.world import config_of, world
from methods.activations import FP8Activations, Kept, _Saved, is_activation, quantised, restored
from tests import tiny
from tests.fomo.budget import settings
from tests.methods.test_adamw_fp8 import table

ON = "activations=fp8"


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_round_trip_is_the_formula_written_out_with_the_table() -> None:
    values = drawn(3, 2, 32) * 7
    numbers = torch.from_numpy(table()[:127]).float()
    found = restored(*quantised(values), torch.float32).view(-1, 16)
    for group, row in zip(values.view(-1, 16), found, strict=True):
        scale = float((group.abs().max() / 448).bfloat16())
        nearest = numbers[(numbers[None] - (group.abs() / scale).clamp(max=448)[:, None]).abs().argmin(1)]
        torch.testing.assert_close(row, group.sign() * nearest * scale, rtol=1e-6, atol=0)


def test_zeros_and_the_smallest_numbers_come_back() -> None:
    values = torch.zeros(2, 16)
    values[1, 3] = 1e-38
    assert torch.equal(restored(*quantised(values), torch.float32)[0], values[0])
    assert restored(*quantised(values), torch.float32).isfinite().all()


def kept_of(make: nn.Module, rows: Tensor) -> list[object]:
    saved = _Saved()
    found: list[object] = []

    def pack(tensor: Tensor) -> object:
        found.append(saved.pack(tensor))
        return found[-1]

    with torch.autograd.graph.saved_tensors_hooks(pack, saved.unpack):
        make(rows)
    return found


def test_parameters_inputs_and_rows_without_whole_groups_are_kept_as_they_are() -> None:
    layer = nn.Linear(16, 16)
    rows = drawn(4, 16)
    assert not any(isinstance(each, Kept) for each in kept_of(layer, rows))  # an input and a weight
    assert any(isinstance(each, Kept) for each in kept_of(layer, rows.requires_grad_() * 1))
    odd = nn.Linear(15, 16)
    assert not any(isinstance(each, Kept) for each in kept_of(odd, drawn(4, 15).requires_grad_() * 1))
    assert not is_activation(layer.weight.bfloat16()) and not is_activation(layer.weight.t())


def test_what_two_operations_keep_is_packed_once_and_what_was_written_to_since_again() -> None:
    saved = _Saved()
    rows = drawn(4, 16).requires_grad_() * 1
    one, flat = saved.pack(rows), saved.pack(rows.view(2, 2, 16))
    assert isinstance(one, Kept) and isinstance(flat, Kept)
    assert one.packed is flat.packed and flat.shape == (2, 2, 16)
    rows.add_(1)
    again = saved.pack(rows)
    assert isinstance(again, Kept) and again.packed is not one.packed


def test_a_storage_that_is_gone_is_not_taken_for_another() -> None:
    saved = _Saved()
    for seed in range(50):
        rows = drawn(4, 16, seed=seed).requires_grad_() * 1
        kept = saved.pack(rows)
        assert isinstance(kept, Kept)
        torch.testing.assert_close(saved.unpack(kept), rows.detach(), rtol=0.07, atol=1e-2)
        del rows


def gradients(folder: Path, *overrides: str, micro_batch: int | None = None) -> dict[str, Tensor]:
    """Of the first step of a task, in fp64, by parameter; and the loss."""
    config = config_of(overrides)
    make = factory.make_optimizer(config)
    trial = Trial(world().in_double(), lambda: factory.methods(config).parts, make, folder, micro_batch=micro_batch)
    trial.begin(1)
    trial.steps(1, stop=1)
    found = {name: p.grad.clone() for name, p in trial.network.named_parameters() if p.grad is not None}
    return found | {"loss": torch.tensor(trial.losses[0])}


def test_the_loss_is_exact_and_gradients_are_near(tmp_path: Path) -> None:
    exact = gradients(tmp_path / "a")
    found = gradients(tmp_path / "b", ON)
    assert found["loss"] == exact["loss"]
    shares = {name: float((found[name] - exact[name]).norm() / exact[name].norm()) for name in exact if name != "loss"}
    assert max(shares.values()) < 0.25, max(shares, key=shares.get)  # type: ignore[arg-type]
    assert sum(share > 1e-4 for share in shares.values()) > len(shares) / 2


def test_a_batch_in_pieces_is_rounded_as_the_whole(tmp_path: Path) -> None:
    whole = gradients(tmp_path / "a", ON)
    pieces = gradients(tmp_path / "b", ON, micro_batch=5)
    for name, value in whole.items():
        torch.testing.assert_close(pieces[name], value, rtol=1e-6, atol=1e-9)


def test_the_budget_counts_the_memory_and_no_flops() -> None:
    plain = settings.cost("model=pocket", "batch_size=256")
    packed = settings.cost("model=pocket", "batch_size=256", ON)
    assert packed.peak_bytes < 0.8 * plain.peak_bytes
    assert packed.tasks[0].ordinary == plain.tasks[0].ordinary


def test_a_method_with_it_keeps_the_contract() -> None:
    conformance_of([ON]).require()


def test_a_run_says_that_it_had_it_and_a_plain_one_says_nothing(tmp_path: Path) -> None:
    plain = tiny.resolved()
    assert comparable(plain.values).get("activations") is None
    chosen = tiny.resolved(ON)
    assert chosen.sha256 != plain.sha256
    assert ON in chosen.config.label
    run = tiny.run(tmp_path, ON)
    assert read_scores(run).finished


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["runtime.grad_checkpointing=true"], "computed again is not rounded"),
        (["trainable=lora"], "adapted weights would be rounded"),
        (["activations=fp9"], "fp8"),
    ],
)
def test_what_it_does_not_go_with_is_refused_before_the_first_step(settings: list[str], says: str) -> None:
    with pytest.raises(fomo.FomoError, match=says):
        tiny.prepared(ON, *settings)


def test_a_device_without_the_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "float8_e4m3fn")
    with pytest.raises(fomo.FomoError, match=r"activations=fp8: torch has no float8_e4m3fn on cpu"):
        tiny.prepared(ON)


def test_compiled_blocks_are_refused() -> None:
    network = nn.Linear(2, 2)
    network.is_compiled = True  # type: ignore[assignment]
    with pytest.raises(fomo.FomoError, match=r"runtime\.compile=null"):
        FP8Activations().begin_run(network, 0)
