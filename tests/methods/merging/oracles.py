"""Merging techniques once more, over stacked float64 vectors in NumPy, and what they are compared on."""

import math
from collections.abc import Sequence

import numpy as np
import torch

import fomo
from fomo.model.shipped import pocket
from fomo.model.weights import Weights
from methods.merging.techniques import TECHNIQUES

VECTORS = [name for name, row in TECHNIQUES.items() if row.vectors]
TRIMMED = [name for name, row in TECHNIQUES.items() if row.trim]
BY_THRESHOLD = [name for name, row in TECHNIQUES.items() if row.trim == "magnitude"]


def state_of(name: str) -> Weights:
    """A shipped model's state, large tensors cut to their first rows to be quick."""
    state = pocket(name).network.state_dict()
    rows = {key: max(1, 8000 // max(1, value[:1].numel())) if value.ndim else 0 for key, value in state.items()}
    return {key: (value[: rows[key]] if value.ndim else value).clone() for key, value in state.items()}


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


def vectors_of(values: Sequence[float]) -> list[Weights]:
    return [{"w": torch.tensor([value])} for value in values]


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
