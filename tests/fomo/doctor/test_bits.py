"""Repeated work on a machine that computes well, and on one that flips a bit now and then."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fomo.doctor.bits import LEAST_TIMES, repeated_work, same_bits
from fomo.doctor.facts import Repeated
from fomo.doctor.machine import same_bits as judged
from fomo.doctor.verdict import Level
from fomo.system.runtime import Runtime

CPU = Runtime("cpu")


def flipping(function: Callable[..., Tensor], at: int, bit: int = 0) -> Callable[..., Tensor]:
    """The function, which flips a bit of one number, 0 the lowest, at its ``at``-th call, counted from 1."""
    calls = 0

    def corrupt(*arguments: Any, **settings: Any) -> Tensor:
        nonlocal calls
        calls += 1
        result = function(*arguments, **settings)
        if calls == at:
            result.detach().flatten()[:1].view(torch.int32).bitwise_xor_(1 << bit)
        return result

    return corrupt


def test_a_machine_that_computes_well_is_green_and_left_as_it_was() -> None:
    before = dict(os.environ), torch.get_deterministic_debug_mode(), torch.get_rng_state()
    found = repeated_work(CPU, 0.01)
    assert [each.what for each in found] == ["matrix product", "training step"]
    assert all(each.times >= LEAST_TIMES and not each.differing and not each.failure for each in found)
    said = judged(found)
    assert said.level is Level.GREEN and "× matrix product" in said.found and "× training step" in said.found
    assert (dict(os.environ), torch.get_deterministic_debug_mode()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_bit_that_is_flipped_once_in_a_product_is_found(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "matmul", flipping(torch.matmul, at))
    product, step = repeated_work(CPU, 0.01)
    assert product.differing >= 1 and (at == 1) == (product.differing == product.times) and not step.differing
    said = judged((product, step))
    assert said.level is Level.RED and "differ: matrix product" in said.found and "corrupts" in said.advice


def test_a_bit_that_is_flipped_once_in_a_step_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "layer_norm", flipping(torch.nn.functional.layer_norm, 40, bit=20))
    product, step = repeated_work(CPU, 0.01)
    assert step.differing >= 1 and not product.differing and judged((product, step)).level is Level.RED


def test_work_that_cannot_be_done_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*tensors: Tensor) -> Tensor:
        raise RuntimeError("matmul does not have a deterministic implementation\nand so on")

    monkeypatch.setattr(torch, "matmul", refuse)
    product, step = repeated_work(CPU, 0.01)
    assert product == Repeated("matrix product", 0, 0, "matmul does not have a deterministic implementation")
    assert not step.failure and judged((product, step)).level is Level.RED


def test_bits_are_compared_not_numbers() -> None:
    nan = torch.tensor([float("nan")])
    assert same_bits(nan, nan.clone()) and not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.tensor([1.0]).bfloat16(), torch.tensor([1.0078125]).bfloat16())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_that_computes_well_gives_the_same_bits(precision: str) -> None:
    assert [(each.differing, each.failure) for each in repeated_work(Runtime("cuda", precision), 0.2)] == [(0, "")] * 2
