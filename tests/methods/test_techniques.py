"""Merging techniques against straightforward NumPy on state dicts of a ResNet and of a transformer."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import fomo
from fomo.model.shipped import pocket
from fomo.model.weights import Weights
from methods.merging import reading
from methods.merging.lines import positions
from methods.merging.merge import between, merge
from methods.merging.reading import Stored, store
from methods.merging.techniques import TECHNIQUES
from methods.merging.temporal import TemporalMerge
from methods.merging.thresholds import magnitudes
from tests import plugin

VECTORS = [name for name, row in TECHNIQUES.items() if row.vectors]
TRIMMED = [name for name, row in TECHNIQUES.items() if row.trim]
BY_THRESHOLD = [name for name, row in TECHNIQUES.items() if row.trim == "magnitude"]


def state_of(name: str) -> Weights:
    """A shipped model's state, large tensors cut to their first rows to be quick."""
    state = pocket(name).network.state_dict()
    rows = {key: max(1, 8000 // max(1, value[:1].numel())) if value.ndim else 0 for key, value in state.items()}
    return {key: (value[: rows[key]] if value.ndim else value).clone() for key, value in state.items()}


@pytest.fixture(scope="module", params=["pocket", "pocket_vit"])
def base(request: pytest.FixtureRequest) -> Weights:
    return state_of(request.param)


def experts(base: Weights, count: int) -> list[Weights]:
    """Task vectors on a coarse grid: many zeros, equal magnitudes and sign conflicts.

    Each expert has its own step, so that no conflict is an exact draw, which rounding would decide either way.
    """
    found = []
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        expert, step = Weights(), math.sqrt(2 + number) / 64
        for name, value in base.items():
            if value.is_floating_point():
                expert[name] = value + torch.randn(value.shape, generator=generator).mul(2).round() * step
            else:
                expert[name] = value + number + 1
        found.append(expert)
    return found


def flat(state: Weights, names: Sequence[str]) -> np.ndarray:
    return np.concatenate([state[name].numpy().reshape(-1) for name in names])


def rank_of(share: float, size: int) -> int:
    return max(1, math.floor(round(share * size, 6)))


def trimmed(technique: str, vector: np.ndarray, density: float, draws: np.ndarray) -> np.ndarray:
    """The task vector, of a tower or the model, after the trimming, by sorting everything at once."""
    row = TECHNIQUES[technique]
    if row.trim == "chance":
        return np.where(draws < np.float32(density), vector / np.float32(density), 0).astype(np.float32)
    if row.trim == "magnitude":
        order = np.sort(np.abs(vector))[::-1]
        out = math.floor(round(row.outliers * len(order), 6))
        low, high = order[max(rank_of(density, len(order)), out + 1) - 1], order[out]
        return np.where((np.abs(vector) >= low) & (np.abs(vector) <= high), vector, 0)
    return vector


def oracle_ties(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    sign = np.sign((weights[:, None] * vectors).sum(0))
    agree = (np.sign(vectors) == sign) & (vectors != 0)
    total = (weights[:, None] * vectors * agree).sum(0)
    return total / np.maximum((weights[:, None] * agree).sum(0), 1e-30)


def oracle_stock(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1)
    vectors, weights = vectors[norms > 0], weights[norms > 0]
    k = len(vectors)
    if k == 0:
        return np.zeros(0)
    mean = (weights[:, None] * vectors).sum(0) / weights.sum()
    if k == 1:
        return mean
    unit = vectors / norms[norms > 0][:, None]
    cosines = [unit[i] @ unit[j] for i in range(k) for j in range(i)]
    cosine = max(np.mean(cosines), 0)
    return min(k * cosine / (1 + (k - 1) * cosine), 1) * mean


def oracle_slerp(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    merged, share = values[0], weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        share += weight
        t = weight / share
        cosine = merged @ value / max(np.linalg.norm(merged) * np.linalg.norm(value), 1e-300)
        angle = math.acos(np.clip(cosine, -1, 1))
        if math.sin(angle) < 1e-5:
            merged = (1 - t) * merged + t * value
        else:
            merged = (math.sin((1 - t) * angle) * merged + math.sin(t * angle) * value) / math.sin(angle)
    return merged


def oracle(
    technique: str, base: Weights, models: list[Weights], weights: Sequence[float], density: float, scope: str = "tower"
) -> Weights:
    """Every technique once more, over stacked float64 vectors."""
    names = [name for name, value in base.items() if value.is_floating_point()]
    sizes = np.cumsum([base[name].numel() for name in names])[:-1]
    share, origin = np.array(weights, dtype=np.float64), flat(base, names)
    draws = [np.concatenate([fomo.rng.generator("merge", i, name).random(base[name].numel(), dtype=np.float32)
             for name in names]) for i in range(len(models))]  # fmt: skip
    values = np.stack([flat(model, names) for model in models])
    sees = np.concatenate([np.full(base[name].numel(), name.startswith("visual.")) for name in names])
    vectors = values - origin
    for tower in [sees, ~sees] if scope == "tower" else [np.ones_like(sees)]:
        for vector, draw in zip(vectors, draws, strict=True):
            vector[tower] = trimmed(technique, vector[tower], density, draw[tower])
    wide, vectors = values.astype(np.float64), vectors.astype(np.float64)
    result: np.ndarray
    if technique == "interpolate":
        result = (share[:, None] * wide).sum(0)
    elif technique == "task_arithmetic":
        result = origin + vectors.sum(0)
    elif technique.endswith("ties"):
        result = origin + oracle_ties(vectors, share)
    elif technique == "magmax":
        result = origin + np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0)[0]
    elif technique == "model_stock":
        each = [oracle_stock(part, share) for part in np.split(vectors, sizes, axis=1)]
        result = origin + np.concatenate(
            [e if len(e) else np.zeros(base[n].numel()) for e, n in zip(each, names, strict=True)]
        )
    elif technique == "slerp":
        result = np.concatenate([oracle_slerp(part, share) for part in np.split(wide, sizes, axis=1)])
    else:
        result, total = wide[0], share[0]
        for value, weight, draw in zip(wide[1:], share[1:], draws[1:], strict=True):
            total += weight
            result = np.where(draw < weight / total, value, result)
    pieces = dict(zip(names, np.split(result, sizes), strict=True))
    return {n: torch.from_numpy(pieces[n]).view(v.shape) if n in pieces else models[-1][n] for n, v in base.items()}


def on(device: str, state: Weights) -> Weights:
    return {name: value.to(device) for name, value in state.items()}


def assert_close(merged: Weights, expected: Weights) -> None:
    assert list(merged) == list(expected)
    for name, value in merged.items():
        torch.testing.assert_close(value.cpu().double(), expected[name].double(), rtol=2e-5, atol=2e-5, msg=name)


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


def vectors_of(values: Sequence[float]) -> list[Weights]:
    return [{"w": torch.tensor([value])} for value in values]


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


numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, 1e-40, 3e38]), st.floats(-1e6, 1e6, width=32, allow_nan=False)
)


@settings(max_examples=60)
@given(st.lists(numbers, min_size=1, max_size=60), st.data())
def test_the_streamed_rank_is_the_sorted_one(values: list[float], data: st.DataObject) -> None:
    vector = torch.tensor(values)
    cut, ranks = data.draw(st.integers(0, len(values))), data.draw(st.lists(st.integers(1, len(values)), min_size=1))

    def pieces() -> Iterator[Tensor]:
        yield from (vector[:cut], vector[cut:])

    expected = [float(torch.sort(vector.abs(), descending=True).values[rank - 1]) for rank in ranks]
    assert magnitudes(pieces, ranks) == expected
    sample = vector[data.draw(st.integers(0, len(values))) :]  # whatever it holds, or nothing
    assert magnitudes(pieces, ranks, lambda: [sample], len(values)) == expected


def test_a_good_sample_needs_one_pass_and_a_bad_one_three() -> None:
    vector, passes = torch.randn(100_000, generator=torch.Generator().manual_seed(0)), []

    def pieces() -> Iterator[Tensor]:
        passes.append(1)
        yield from vector.split(999)

    for sample, num_passes in ((vector[:5000], 1), (vector[:5000] * 9, 3), (torch.full((5000,), 0.5), 3)):
        passes.clear()
        (found,) = magnitudes(pieces, [30_000], lambda sample=sample: [sample], len(vector))  # type: ignore[misc]
        assert found == float(torch.sort(vector.abs(), descending=True).values[29_999]) and len(passes) == num_passes


@pytest.mark.parametrize("low", [0.0, 0.1, 1e-40, 0.3])
def test_the_bounds_of_trimming_are_kept(low: float) -> None:
    vector = torch.tensor([low, -low, 0.05, 0.7, -0.9, 1e-41])
    low32 = float(torch.tensor(low))
    kept = [v if low32 <= abs(v) <= float(torch.tensor(0.7)) else 0.0 for v in vector.tolist()]
    assert between(vector, low32, float(torch.tensor(0.7))).tolist() == kept


def test_layer_numbers_of_both_towers() -> None:
    place = positions(state_of("pocket_vit"))  # 4 blocks see, 2 read
    for name, expected in (
        ("visual.conv1.weight", 0), ("visual.positional_embedding", 0), ("visual.ln_pre.weight", 0),
        ("visual.transformer.resblocks.0.ln_1.weight", 0), ("visual.transformer.resblocks.1.mlp.c_fc.bias", 1 / 3),
        ("visual.transformer.resblocks.3.attn.in_proj_weight", 1), ("visual.ln_post.bias", 0), ("visual.proj", 0),
        ("token_embedding.weight", 0), ("transformer.resblocks.0.ln_1.bias", 0), ("ln_final.weight", 0),
        ("transformer.resblocks.1.ln_1.bias", 1), ("text_projection", 0), ("logit_scale", 0),
    ):  # fmt: skip
        assert place[name] == pytest.approx(expected), name
    place = positions(state_of("pocket"))  # four stages of one block
    assert place["visual.layer1.0.conv1.weight"] == 0 and place["visual.layer4.0.bn3.running_var"] == 1
    assert place["visual.layer3.0.downsample.1.weight"] == pytest.approx(2 / 3)
    assert place["visual.bn2.weight"] == 0 and place["visual.attnpool.positional_embedding"] == 0
    stages = positions(["v.trunk.stages.0.blocks.0.w", "v.trunk.stages.1.downsample.w", "v.trunk.stages.1.blocks.0.w"])
    assert list(stages.values()) == [0, 0.5, 1]


def test_lines_takes_alpha_outside_of_blocks() -> None:
    names = ("conv1.w", "blocks.0.w", "blocks.1.w", "blocks.2.w", "proj", "logit_scale")
    start = {name: torch.full((1,), 8.0) for name in names}
    moved = {name: torch.full((1,), 18.0) for name in names}
    merged = merge("task_arithmetic", [moved], None, start, lines=(0.2, 0.6))
    assert [merged[name].item() for name in names] == pytest.approx([10, 10, 13, 16, 10, 10])


@pytest.mark.parametrize("technique", VECTORS)
def test_lines_scales_the_merged_task_vector_by_depth(technique: str, base: Weights) -> None:
    models = experts(base, 2)
    plain = merge(technique, models, None, base, density=0.9)
    scaled = merge(technique, models, None, base, density=0.9, scale=0.5, lines=(0.2, 0.6))
    for name, place in positions(base).items():
        if base[name].is_floating_point():
            expected = base[name] + 0.5 * (0.2 + 0.6 * place) * (plain[name] - base[name])
            torch.testing.assert_close(scaled[name], expected, rtol=0, atol=2e-6, msg=name)


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


def broken(state: Weights, name: str, value: Tensor) -> Weights:
    return {**state, name: value}


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_entry_that_is_not_finite_is_named(technique: str, bad: float, base: Weights) -> None:
    models = experts(base, 2)
    models[1]["ln_final.weight"][3] = bad
    with pytest.raises(fomo.FomoError, match=r"NaN or infinite entry in ln_final\.weight"):
        merge(technique, models, None, base, density=0.9)


def test_large_finite_entries_are_no_reason_to_refuse() -> None:
    models = [{"w": torch.full((4,), 3e38)}] * 2
    assert torch.equal(merge("interpolate", models)["w"], models[0]["w"])


def test_models_that_do_not_fit_together_are_refused() -> None:
    one, other = state_of("pocket"), state_of("pocket_vit")
    with pytest.raises(fomo.FomoError, match=r"differ in architecture: visual\..* in one of them alone"):
        merge("interpolate", [one, other])
    with pytest.raises(fomo.FomoError, match=r"ln_final\.weight is \[64\] in the first and \[3\] in number 2"):
        merge("interpolate", [one, broken(one, "ln_final.weight", torch.ones(3))])


@pytest.mark.parametrize(
    ("technique", "options", "text"),
    [
        ("tise", {}, "Did you mean 'ties'"),
        ("ties", {"base": None}, "needs the base model"),
        ("interpolate", {"weights": [0.5, 0.6]}, r"0\.5 \+ 0\.6 = 1\.1.*sum to 1"),
        ("slerp", {"weights": [1.5, -0.5]}, "0 or more"),
        ("interpolate", {"weights": [float("nan"), 0.5]}, "sum to 1"),
        ("interpolate", {"weights": [1.0]}, "1 weights for 2 models"),
        ("ties", {"density": 0.0}, r"density=0\.0.*above 0"),
        ("ties", {"density": 1.1}, "above 0 to 1"),
        ("breadcrumbs_ties", {"density": 0.01}, r"above 0\.01 to 1"),
        ("ties", {"scope": "towers"}, "Did you mean 'tower'"),
        ("dare_ties", {"scope": "model"}, "scope=model has no meaning"),
        ("ties", {"density": float("nan")}, "density=nan"),
        ("interpolate", {"lines": (0.5, 0.5)}, r"merging\.lines has no meaning for .*interpolate"),
        ("slerp", {"scale": 0.5}, r"merging\.scale has no meaning"),
        ("ties", {"lines": (0.5, 0.5)}, "no layer numbers"),
        ("ties", {"lines": (0.5,)}, "two numbers"),
        ("ties", {"lines": 0.5}, r"merging\.lines=0\.5: give two numbers"),
        ("ties", {"lines": ("a", "b")}, "two numbers"),
        ("ties", {"scale": float("inf")}, "scale=inf"),
    ],
)
def test_bad_settings_are_one_clear_error(technique: str, options: dict[str, object], text: str) -> None:
    models = vectors_of([1.0, 2.0])
    with pytest.raises(fomo.FomoError, match=text):
        merge(technique, models, **{"base": {"w": torch.zeros(1)}, **options})  # type: ignore[arg-type]


def test_no_model_is_no_merge() -> None:
    with pytest.raises(fomo.FomoError, match="no model to merge"):
        merge("interpolate", [])


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "expert.safetensors").write_bytes(b"torn")
    with pytest.raises(fomo.FomoError, match=r"expert\.safetensors"):
        Stored(tmp_path / "expert.safetensors")
    with pytest.raises(fomo.FomoError, match=r"gone\.safetensors"):
        Stored(tmp_path / "gone.safetensors")


RULES = """
def shrunk(values, weights, draws, out, share: float = 0.5, *, power: int):
    return share**power * sum(weight * value for weight, value in zip(weights, values))


def short(values, weights, draws):
    return next(values)


def needless(values, weights, draws, out):
    return next(values)
"""


@pytest.fixture
def rules_of_a_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plugin.install(tmp_path, "shrinking", RULES, {f"merges.{name}": name for name in ("shrunk", "short", "needless")})
    with plugin.seen(tmp_path, monkeypatch):
        yield


def test_a_rule_takes_settings_of_its_own(rules_of_a_guest: None) -> None:
    one, other, start = ({"w": torch.full((3,), value)} for value in (3.0, 5.0, 1.0))
    merged = merge("shrunk", [one, other], base=start, options={"power": 2})
    assert merged["w"].tolist() == [1 + 0.25 * 3] * 3
    merged = merge("shrunk", [one, other], base=start, options={"power": 1, "share": 1.0})
    assert merged["w"].tolist() == [4.0] * 3


@pytest.mark.parametrize(
    ("technique", "options", "text"),
    [
        ("shrunk", {"power": 1, "shar": 0.5}, "unknown key of merging.options 'shar'. Did you mean 'share'"),
        ("shrunk", {"share": 0.5}, r"merging\.options\.power is missing"),
        ("shrunk", {"power": 0.5}, r"merging\.options\.power=0\.5: an integer"),
        ("shrunk", {"power": 1, "out": 1}, "unknown key of merging.options 'out'"),
        ("short", {}, r"short: the rule cannot be called as rule\(values, weights, draws, out"),
        ("needless", {"power": 1}, "'power'. Allowed: none"),
        ("interpolate", {"power": 1}, "'power'. Allowed: none"),
    ],
)
def test_settings_that_a_rule_does_not_take_are_refused_before_the_run(
    technique: str, options: dict[str, float], text: str, rules_of_a_guest: None
) -> None:
    with pytest.raises(fomo.FomoError, match=text):
        TemporalMerge("latest", "running", technique, options=options)


def test_settings_of_a_merge_that_merges_nothing_are_refused(rules_of_a_guest: None) -> None:
    with pytest.raises(fomo.FomoError, match=r"merging\.options: merging\.deploy=latest merges nothing"):
        TemporalMerge("latest", "latest", "shrunk", options={"power": 1})
