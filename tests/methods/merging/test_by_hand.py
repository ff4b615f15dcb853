"""Merges of a few numbers, worked out by hand."""

import math

import pytest
import torch

from fomo.model.weights import Weights
from methods.merging.merge import merge
from methods.merging.techniques import TECHNIQUES
from tests.methods.merging.oracles import (
    experts,
    vectors_of,
)


@pytest.mark.parametrize(
    ("technique", "taus", "weights", "expected"),
    [
        ("ties", [1.0, 3.0], [0.5, 0.5], 2.0),
        ("ties", [1.0, -3.0], [0.5, 0.5], -3.0),
        ("ties", [1.0, -3.0], [0.8, 0.2], 1.0),  # 0.8 against 0.6
        ("ties", [2.0, -2.0], [0.5, 0.5], 0.0),  # an exact draw moves nothing
        ("ties", [0.0, 4.0], [0.5, 0.5], 4.0),
        ("ties", [1.0, 2.0, -9.0], [1 / 3, 1 / 3, 1 / 3], -9.0),
        ("ties", [5.0, 6.0, -9.0], [1 / 3, 1 / 3, 1 / 3], 5.5),
        ("magmax", [1.0, -3.0], [0.5, 0.5], -3.0),
        ("magmax", [2.0, -2.0], [0.5, 0.5], 2.0),
        ("task_arithmetic", [1.0, 2.0], [0.5, 0.5], 3.0),  # the sum, where interpolation is 1.5
        ("task_arithmetic", [1.0, -3.0, 4.0], [0.2, 0.2, 0.6], 2.0),
        ("model_stock", [1.0, 3.0], [0.5, 0.5], 2.0),  # cos = 1, t = 1
        ("model_stock", [1.0, -3.0], [0.5, 0.5], 0.0),  # cos = −1
        ("model_stock", [0.0, 3.0], [0.5, 0.5], 3.0),  # θ₀ has no direction
    ],
)
def test_one_entry_worked_out_by_hand(technique: str, taus: list[float], weights: list[float], expected: float) -> None:
    merged = merge(technique, vectors_of([1 + tau for tau in taus]), weights, {"w": torch.ones(1)})
    assert float(merged["w"]) == pytest.approx(1 + expected, rel=1e-6)


@pytest.mark.parametrize("technique", ["ties", "dare_ties", "breadcrumbs_ties"])
@pytest.mark.parametrize("count", [2, 6, 14, 20])
def test_an_exact_draw_moves_nothing_however_many_models_it_has(technique: str, count: int) -> None:
    """Equal weights of 1/count would leave a rest of rounding, whose sign would be elected."""
    taus = torch.arange(1, 1 + count // 2) / 16
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    for each in (
        torch.cat([taus, -taus])[order],
        torch.cat([torch.ones(count - 1), torch.tensor([1.0 - count])])[order],
    ):
        models = [{"w": torch.full((200,), 2.0) + tau} for tau in each]
        merged = merge(technique, models, None, {"w": torch.full((200,), 2.0)}, density=0.99)["w"]
        assert technique == "dare_ties" or torch.equal(merged, torch.full((200,), 2.0))
        whole = merge(technique, models, None, {"w": torch.full((200,), 2.0)})["w"]
        assert torch.equal(whole, torch.full((200,), 2.0))


@pytest.mark.parametrize("technique", ["slerp", "model_stock"])
@pytest.mark.parametrize("size", [1e25, 1e-25])
def test_angles_do_not_depend_on_the_size_of_what_is_merged(technique: str, size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(50, generator=generator, dtype=torch.float64) for _ in range(2))
    plain = merge(technique, [{"w": a.float()}, {"w": (a + b).float()}], None, {"w": torch.zeros(50)})["w"]
    sized = [{"w": (a * size).float()}, {"w": ((a + b) * size).float()}]
    torch.testing.assert_close(merge(technique, sized, None, {"w": torch.zeros(50)})["w"] / size, plain)


def test_slerp_of_right_angles_is_the_point_on_the_circle() -> None:
    models = [{"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 1.0])}]
    merged = merge("slerp", models, [2 / 3, 1 / 3])["w"]  # a third of the way along a quarter circle
    torch.testing.assert_close(merged, torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6)]))


def test_model_stock_at_sixty_degrees() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.5, math.sqrt(3) / 2])
    merged = merge("model_stock", [{"w": a}, {"w": b}], None, {"w": torch.zeros(2)})["w"]
    torch.testing.assert_close(merged, 2 / 3 * (a + b) / 2)  # t = 2·½ / (1 + ½)


def test_scalars_counters_and_bf16_follow_the_rule() -> None:
    old = {"scale": torch.tensor(2.0), "count": torch.tensor(3), "half": torch.ones(2, dtype=torch.bfloat16)}
    new = {"scale": torch.tensor(4.0), "count": torch.tensor(9), "half": torch.zeros(2, dtype=torch.bfloat16)}
    for technique in TECHNIQUES:
        merged = merge(technique, [old, new], [0.25, 0.75], old, density=0.9)
        assert merged["scale"].shape == () and merged["count"].item() == 9 and merged["half"].dtype == torch.bfloat16
    merged = merge("interpolate", [old, new], [0.25, 0.75])
    assert merged["scale"].item() == 3.5 and merged["half"].tolist() == [0.25, 0.25]


def test_the_result_may_be_the_first_models_memory(base: Weights) -> None:
    for technique in TECHNIQUES:
        models = experts(base, 2)
        expected = merge(technique, models, None, base, density=0.9)
        places = {name: value.data_ptr() for name, value in models[0].items() if value.is_floating_point()}
        merged = merge(technique, models, None, base, density=0.9, out=models[0])
        assert merged is models[0] and all(merged[name].data_ptr() == place for name, place in places.items())
        assert all(torch.equal(merged[name], value) for name, value in expected.items()), technique
