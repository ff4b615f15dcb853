"""Every technique against straightforward NumPy on state dicts of a ResNet and of a transformer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fomo.model.weights import Weights
from methods.merging import reading
from methods.merging.merge import merge
from methods.merging.reading import Stored, store
from methods.merging.techniques import TECHNIQUES
from tests.methods.merging.oracles import (
    BY_THRESHOLD,
    TRIMMED,
    assert_close,
    experts,
    on,
    oracle,
)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_technique_equals_numpy(technique: str, count: int, base: Weights, device: str) -> None:
    models, weights = experts(base, count), np.arange(1, count + 1) / sum(range(1, count + 1))
    density = 0.3 if TECHNIQUES[technique].trim else 1.0
    there = [on(device, model) for model in models]
    merged = merge(technique, there, list(weights), on(device, base), density=density)
    assert all(value.device.type == device for value in merged.values())
    assert_close(merged, oracle(technique, base, models, list(weights), density))


@pytest.mark.parametrize("technique", TRIMMED)
@pytest.mark.parametrize("more", [1e-9, 0.05, 0.8, 0.99])
def test_trimming_at_other_densities(technique: str, more: float, base: Weights) -> None:
    density = TECHNIQUES[technique].outliers + more
    models = experts(base, 2)
    merged = merge(technique, models, None, base, density=density)
    assert_close(merged, oracle(technique, base, models, [0.5, 0.5], density))


@pytest.mark.parametrize("technique", BY_THRESHOLD)
def test_one_threshold_over_the_model_is_another_merge(technique: str, base: Weights) -> None:
    models = experts(base, 2)
    for model in models:  # a tower that moves less has less of its own above a common threshold
        model |= {n: (v + base[n]) / 2 for n, v in model.items() if v.is_floating_point() and n.startswith("visual.")}
    merged = merge(technique, models, None, base, density=0.3, scope="model")
    assert_close(merged, oracle(technique, base, models, [0.5, 0.5], 0.3, scope="model"))
    apart = merge(technique, models, None, base, density=0.3)
    assert any(not torch.equal(value, merged[name]) for name, value in apart.items())


@pytest.mark.parametrize(
    ("technique", "scope", "seen", "read"),
    [  # 10 entries of a tower each, magnitudes 1 to 10 and 11 to 20; 0.3: 3 of each, or 6 of all, the largest
        ("ties", "tower", [8.0, 9, 10], [18.0, 19, 20]),
        ("ties", "model", [], [15.0, 16, 17, 18, 19, 20]),
        ("breadcrumbs_ties", "tower", [8.0, 9, 10], [18.0, 19, 20]),  # a hundredth of 10 is none
    ],
)
def test_a_tower_keeps_its_own_share(technique: str, scope: str, seen: list[float], read: list[float]) -> None:
    start = {name: torch.zeros(10) for name in ("visual.proj", "text_projection")}
    model = {"visual.proj": torch.arange(1.0, 11), "text_projection": torch.arange(11.0, 21)}
    merged = merge(technique, [model], None, start, density=0.3, scope=scope)
    assert [value for value in merged["visual.proj"].tolist() if value] == seen
    assert [value for value in merged["text_projection"].tolist() if value] == read


def test_breadcrumbs_keeps_the_density_without_the_largest_hundredth() -> None:
    model = {"w": torch.arange(1.0, 201)}  # 0.3 of 200 are 141 to 200, the largest 2 of all are left out
    merged = merge("breadcrumbs_ties", [model], None, {"w": torch.zeros(200)}, density=0.3)
    assert merged["w"].tolist() == [float(v) if 141 <= v <= 198 else 0.0 for v in range(1, 201)]


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_models_from_files_in_small_pieces_give_the_same_bits(
    technique: str, base: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = experts(base, 3)
    density = 0.3 if TECHNIQUES[technique].trim else 1.0
    expected = merge(technique, models, None, base, density=density)
    monkeypatch.setitem(reading.CHUNK, "cpu", 1000)
    for number, model in enumerate(models):
        store(tmp_path / f"{number}.safetensors", model)
    stored = [Stored(tmp_path / f"{number}.safetensors") for number in range(3)]
    merged = merge(technique, stored, None, base, density=density)
    for name, value in expected.items():
        assert torch.equal(value, merged[name]) and value.dtype == merged[name].dtype, name


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_merging_a_model_with_itself_gives_it(technique: str, base: Weights) -> None:
    (model,) = experts(base, 1)
    merged = merge(technique, [model] * 4, None, base, scale=0.25 if technique == "task_arithmetic" else 1.0)
    if technique == "breadcrumbs_ties":  # it leaves out the largest hundredth: what is left of it is the model's
        assert all(torch.isclose(v, model[n]).logical_or(v == base[n]).all() for n, v in merged.items() if v.ndim)
        return
    for name, value in model.items():
        exact = technique in ("interpolate", "slerp", "random")
        torch.testing.assert_close(merged[name], value, rtol=0, atol=0 if exact else 3e-6, msg=name)


@pytest.mark.parametrize("technique", ["interpolate", "slerp", "ties", "random"])
@pytest.mark.parametrize(("weights", "winner"), [([1.0, 0.0], 0), ([0.0, 1.0], 1)])
def test_a_model_with_all_the_weight_is_the_merge(
    technique: str, weights: list[float], winner: int, base: Weights
) -> None:
    models = experts(base, 2)
    if technique == "ties":  # a model without weight has no vote
        models = [{n: torch.where(v == base[n], v + 1, v) for n, v in model.items()} for model in models]
    merged = merge(technique, models, weights, base)
    for name, value in merged.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, models[winner][name], rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("technique", ["interpolate", "task_arithmetic", "ties", "breadcrumbs_ties", "model_stock"])
def test_order_does_not_matter_where_it_should_not(technique: str, base: Weights) -> None:
    models = experts(base, 4)
    density = 0.3 if TECHNIQUES[technique].trim else 1.0
    forwards = merge(technique, models, None, base, density=density)
    backwards = merge(technique, models[::-1], None, base, density=density)
    for name, value in forwards.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, backwards[name], rtol=0, atol=3e-6, msg=name)


def test_masks_are_those_of_model_and_tensor_and_of_nothing_else(base: Weights) -> None:
    models = experts(base, 3)
    keys: list[tuple[int | str, ...]] = [(7, "expert", number) for number in range(3)]
    alone = merge("dare_ties", models[1:2], [1.0], base, density=0.5, keys=keys[1:2])
    again = merge("dare_ties", models[1:2], [1.0], base, density=0.5, keys=keys[1:2])
    other = merge("dare_ties", models[1:2], [1.0], base, density=0.5, keys=keys[2:])
    kept = {name: value != base[name] for name, value in alone.items() if value.is_floating_point()}
    assert all(torch.equal(value, again[name]) for name, value in alone.items())
    assert any(not torch.equal(kept[name], other[name] != base[name]) for name in kept)
    moved = {name: models[1][name] != base[name] for name in kept}
    share = sum(int(k.sum()) for k in kept.values()) / sum(int(m.sum()) for m in moved.values())
    assert share == pytest.approx(0.5, abs=0.01) and not any((kept[name] & ~moved[name]).any() for name in kept)
