"""Steps with weights in parts, against steps with whole ones: two processes over gloo, in double precision."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fomo.checkpoint.files import Packed
from fomo.errors import FomoError
from fomo.results.config_file import comparable
from fomo.results.run import load
from fomo.training.fully_sharded import refuse_hooks, units
from tests import tiny
from tests.fomo.training.parted_steps import (
    Ranks,
    gone_on,
    in_half,
    num_bytes,
    ranks_in,
    refused,
    started,
    stopped,
    trained,
)

FSDP = ("runtime.strategy=fsdp",)
SGD = ("optimizer=sgd", "optimizer.lr=0.01")
CLOSE = 1e-8
"""Share of an update that sums in another order may move a tensor by, in double precision."""
METHODS = {
    "ewc": ("method=ewc", "regularizer.num_samples=24", "runtime.grad_checkpointing=true", *SGD),
    "si": ("method=si", "runtime.micro_batch=2", *SGD),
    "zscl": ("method=zscl", "max_grad_norm=0.01", "max_logit_scale=2", *SGD),
    "lwf": ("method=lwf", "runtime.micro_batch=1", "trainable=locked_image", *SGD),
    "lora": ("method=lora_ema", "runtime.grad_checkpointing=true", "runtime.micro_batch=4", *SGD),
    "mclrec": ("regularizer=mclrec", "regularizer.features=updated", "regularizer.lr=0.1", *SGD),
    "dora": ("method=dora", *SGD),
    "vera": ("method=vera", *SGD),
    "galore": ("optimizer=galore", "optimizer.eps=1e-4"),  # above what is rounding alone: nine rows have no rank of 16
    "lamb": ("optimizer=lamb",),
    "another tower": ("model=pocket_resnet", "method=ema_merge", *SGD),
}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    with ranks_in(tmp_path_factory.mktemp("ranks")) as both:
        yield both


def distance(one: dict[str, Tensor], other: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """The largest difference of a tensor, as a share of its update; of an adapter as a share of itself."""
    assert one.keys() == other.keys()
    moved = {name: (value - start[name] if name in start else value).double().norm() for name, value in one.items()}
    return max(float((one[name] - other[name]).double().norm() / moved[name]) for name in one if moved[name] > 0)


@pytest.mark.parametrize("name", METHODS)
def test_weights_in_parts_move_as_whole_ones_do(name: str, ranks: Ranks) -> None:
    ranks.send(trained, (*METHODS[name], *FSDP), 2)
    alone = trained(METHODS[name], 2)
    first, second = ranks.answers()
    assert not tiny.changed(first, second)
    assert distance(alone, first, started(METHODS[name])) <= CLOSE


def test_twenty_steps_are_those_of_one_process_and_of_whole_weights(ranks: Ranks) -> None:
    ranks.send(trained, FSDP, 20, 1)
    alone = trained((), 20, 1)
    parted = ranks.answers()[0]
    whole = ranks(trained, (), 20, 1)[0]
    assert distance(alone, parted, started(())) <= CLOSE
    assert distance(whole, parted, started(())) <= CLOSE


def test_a_step_that_is_not_finite_on_one_rank_is_skipped_or_rewound_by_all(ranks: Ranks) -> None:
    for policy in ("skip", "rewind"):
        overrides = (f"on_nan={policy}", "method=si", *SGD)
        alone = trained(overrides, 4, 1, 3)
        first, second = ranks(trained, (*overrides, *FSDP), 4, 1, 3)
        assert not tiny.changed(first, second)
        assert distance(alone, first, started(overrides)) <= CLOSE


@pytest.mark.parametrize("model", ["pocket", "pocket_resnet"])
def test_blocks_compute_in_bfloat16_over_weights_in_full_precision(model: str, ranks: Ranks) -> None:
    overrides = (f"model={model}", *SGD)
    whole = ranks(in_half, overrides, False)[0]
    first, second = ranks(in_half, (*overrides, *FSDP), True)
    assert not tiny.changed(first, second)
    start = {name: value.to(whole[name].dtype) for name, value in started(overrides).items()}
    shares = [
        float((whole[name] - first[name]).norm() / (whole[name] - start[name]).norm())
        for name in whole
        if whole[name].is_floating_point() and (whole[name] - start[name]).norm() > 0
    ]
    assert 0 < sorted(shares)[len(shares) // 2] < 0.1
    assert torch.equal(whole["logit_scale"] != start["logit_scale"], first["logit_scale"] != start["logit_scale"])


def tensors(kept: Packed) -> dict[str, Tensor]:
    return {re.sub(r"^\d+", "", name): value for name, value in kept.tensors.items()}


def test_a_task_goes_on_bit_for_bit_and_from_one_strategy_to_the_other(ranks: Ranks) -> None:
    overrides = ("method=si",)
    through = tensors(ranks(stopped, (*overrides, *FSDP), 4, 4)[0])
    half = ranks(stopped, (*overrides, *FSDP), 4, 2)[0]
    again = tensors(ranks(gone_on, (*overrides, *FSDP), 4, 2, half)[0])
    assert not tiny.changed(through, again)
    whole = tensors(gone_on(overrides, 4, 2, half))
    back = tensors(ranks(gone_on, (*overrides, *FSDP), 4, 2, stopped(overrides, 4, 2))[0])
    for other in (whole, back):
        assert max(float((through[name] - other[name].view_as(through[name])).abs().max()) for name in through) < 1e-9


def test_a_rank_holds_its_part_of_weights_and_states_and_nothing_of_the_network_itself(ranks: Ranks) -> None:
    whole = num_bytes(())
    for found in ranks(num_bytes, FSDP):
        assert found["weights"] < 0.51 * whole["weights"]
        assert found["states"] < 0.51 * whole["states"]
        assert found["network"] < 0.01 * whole["weights"]


def test_what_cannot_take_parts_is_refused_before_the_first_step(ranks: Ranks) -> None:
    with pytest.raises(AssertionError, match=r"the optimizer (cannot move|moves).*runtime.strategy=ddp"):
        ranks(refused, ("optimizer=timm", "optimizer.name=adafactor", *FSDP))
    guest = ("regularizer._target_=tests.fomo.training.parted_steps.Guest", "runtime.allow_targets=[tests]")
    with pytest.raises(AssertionError, match=r"parted_weights in the class.*runtime.strategy=ddp"):
        ranks(refused, (*guest, *FSDP))
    with pytest.raises(AssertionError, match=r"\(FP8Activations\) needs whole weights.*runtime.strategy=ddp"):
        ranks(refused, ("activations=fp8", *FSDP))
    with pytest.raises(FomoError, match=r"this is one.*torchrun --nproc-per-node=N"):
        refused(FSDP)


class Listener:
    def hear(self, *arguments: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(("name", "said"), [("", "the network has"), ("1", "the module '1' has")])
def test_a_hook_is_named_with_the_layer_that_it_is_on(name: str, said: str) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network.get_submodule(name).register_forward_hook(Listener().hear)
    with pytest.raises(FomoError, match=rf"runtime.strategy=fsdp: {said} a hook \(Listener\.hear\)"):
        refuse_hooks(network)


def test_sequences_of_one_class_are_gathered_member_by_member() -> None:
    blocks = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2)) for _ in range(3))
    network = nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"tower": blocks}), nn.Sequential(nn.Linear(2, 2)))
    assert list(units(network)) == list(blocks)


def test_the_strategy_makes_no_other_run() -> None:
    values = {"runtime": {"precision": "fp32", "strategy": "fsdp"}}
    assert comparable(values) == comparable({"runtime": {"precision": "fp32"}})


def test_a_run_has_the_scores_and_the_ledger_of_one_process(tmp_path: Path) -> None:
    overrides = ("model=pocket", "method=si", *tiny.COUNTED)
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "fomo",
        "run",
    ]
    typed = [*tiny.TINY, *overrides, *FSDP, f"run.dir={tmp_path / 'parted'}"]
    with subprocess.Popen([*start, *typed], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        alone = tiny.run(tmp_path / "alone", *overrides)
        said = process.communicate()[0]
    assert process.returncode == 0, said
    one, both = (load(folder).path for folder in (alone, tmp_path / "parted"))
    for task, (expected, found) in enumerate(zip(one, both, strict=True)):
        assert found.ka == pytest.approx(expected.ka, abs=0.1), task
        assert found.zs == pytest.approx(expected.zs, abs=0.1), task
    assert load(tmp_path / "parted").ledger == load(alone).ledger
