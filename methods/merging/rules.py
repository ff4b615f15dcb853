"""How the same piece of several models becomes one: pure functions that read the models one after the other, once.

Every rule takes flat fp32 pieces, whole weights or task vectors θ − θ₀ (see ``techniques.py``), the weight of each
model, for each a generator, which only the random rule draws from, and memory for the result, which may be that of the
first model and which a rule is free to use. Memory: a few pieces, however many models.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

Draws = Sequence[np.random.Generator]
"""One generator for each model."""
SMALLEST = 1e-30
"""Below every weight that a model may have, above 0."""
Rule = Callable[[Iterator[Tensor], Sequence[float], Draws, Tensor], Tensor]
"""``rule(values, weights, draws, out)``: the merged piece [n] of the models' pieces [n], in ``out`` or a new tensor."""


def shares(weights: Sequence[float]) -> list[float]:
    """The share of each model in the merge of it and the models before it; 1 for the first model."""
    totals = np.cumsum(weights)
    return [float(weight / total) if total else 1.0 for weight, total in zip(weights, totals, strict=True)]


def interpolate(values: Iterator[Tensor], weights: Sequence[float], draws: Draws, out: Tensor) -> Tensor:
    """Σ wᵢ θᵢ as a running mean, so that the merge of equal models is that model bit for bit."""
    merged = next(values)
    for value, share in zip(values, shares(weights)[1:], strict=True):
        merged = torch.lerp(merged, value, share, out=out)
    return merged


def slerp(values: Iterator[Tensor], weights: Sequence[float], draws: Draws, out: Tensor) -> Tensor:
    """Shoemake 1985: along the arc between two vectors; more than two are merged in turn, each by its share."""
    merged = next(values)
    for value, share in zip(values, shares(weights)[1:], strict=True):
        merged = _on_arc(merged, value, share)
    return merged


def _on_arc(a: Tensor, b: Tensor, share: float) -> Tensor:
    """sin((1−t)Ω)/sin Ω · a + sin(tΩ)/sin Ω · b; the line where the arc is none or not unique."""
    angle = _angle(a, b)
    if math.sin(angle) < 1e-6:
        return torch.lerp(a, b, share)
    first, second = (math.sin(part * angle) / math.sin(angle) for part in (1 - share, share))
    return (a * first).add_(b, alpha=second)


def _angle(a: Tensor, b: Tensor) -> float:
    """2·atan2(‖â−b̂‖, ‖â+b̂‖): exact for small angles too, where the arc cosine is not. 0 for a vector of zeros."""
    norms = (norm(a), norm(b))
    if not all(norms):
        return 0.0
    a = a / norms[0]
    b = b / norms[1]
    return 2 * math.atan2(norm(a - b), norm(a + b))


def norm(vector: Tensor) -> float:
    """Euclidean norm, its squares summed in fp64: they overflow in fp32 from 2e19 on, and many small ones are lost."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def summed(vectors: Iterator[Tensor], weights: Sequence[float], draws: Draws, out: Tensor) -> Tensor:
    """Task arithmetic (Ilharco et al. 2023, arXiv 2212.04089): Σ τᵢ, which ``scale`` multiplies."""
    merged = next(vectors).clone()
    for vector in vectors:
        merged.add_(vector)
    return merged


def elect(vectors: Iterator[Tensor], weights: Sequence[float], draws: Draws, out: Tensor) -> Tensor:
    """TIES (Yadav et al. 2023, arXiv 2306.01708), after the trimming: elect a sign, average those that have it.

    Per entry the sign of Σ wᵢ τᵢ wins, and the weighted mean goes over the models whose entry has it, zeros left
    out. Differs from the authors' code in an exact draw: there the entry stays as in θ₀ instead of following the
    majority of all entries. That a draw is one, whatever the number of models, takes weights that are 1 where they are
    equal, and a sum in fp64: rounding would else elect a sign.
    """
    weights = [weight / max(weights) for weight in weights]
    vector = next(vectors)
    exact = torch.float64 if len(weights) > 2 else torch.float32
    total = vector.to(exact, copy=True).mul_(weights[0])
    size = vector.abs().mul_(weights[0])
    sign = vector.sign()
    signs = sign * weights[0]
    count = sign.abs_().mul_(weights[0])
    sign = torch.empty_like(vector)
    magnitude = torch.empty_like(vector)
    for vector, weight in zip(vectors, weights[1:], strict=True):
        total.add_(vector, alpha=weight)
        size.add_(torch.abs(vector, out=magnitude), alpha=weight)
        signs.add_(torch.sign(vector, out=sign), alpha=weight)
        count.add_(sign.abs_(), alpha=weight)
    # of the elected sign s: Σ wᵢ τᵢ = s·(Σ wᵢ|τᵢ| + |Σ wᵢ τᵢ|)/2 and Σ wᵢ = (Σ wᵢ|sᵢ| + s·Σ wᵢ sᵢ)/2
    elected = total.sign().to(vector.dtype)
    count.add_(signs.mul_(elected)).clamp_min_(SMALLEST)
    return size.add_(total.abs_()).mul_(elected).div_(count)


def largest(vectors: Iterator[Tensor], weights: Sequence[float], draws: Draws, out: Tensor) -> Tensor:
    """MagMax (Marczak et al. 2024, arXiv 2407.06322): per entry the task vector of largest magnitude, the earlier
    one where they are equal."""
    merged = next(vectors)
    for vector in vectors:
        merged = torch.where(vector.abs() > merged.abs(), vector, merged)
    return merged


def stock(vectors: Iterator[Tensor], weights: Sequence[float], draws: Draws, out: Tensor) -> Tensor:
    """Model Stock (Jang et al. 2024, arXiv 2403.19522): t · mean τ, t = k·cos Ω / (1 + (k−1)·cos Ω), in [0, 1].

    cos Ω is the mean cosine over pairs of the k models, from ‖Σ τ̂ᵢ‖² = k + k(k−1)·cos Ω. Differs from the paper in
    that a model equal to θ₀ has no direction and is left out (else a running merge, which starts at θ₀, would stay
    there); of one model t is 1.
    """
    count = 0
    total_weight = 0.0
    total = None
    directions = None
    for vector, weight in zip(vectors, weights, strict=True):
        length = norm(vector)
        total = torch.zeros_like(vector) if total is None else total
        directions = torch.zeros_like(vector) if directions is None else directions
        if length > 0:
            count += 1
            total_weight += weight
            total.add_(vector, alpha=weight)
            directions.add_(vector, alpha=1 / length)
    assert total is not None and directions is not None
    if total_weight == 0:
        return total
    return total.mul_(_stock_ratio(count, norm(directions)) / total_weight)


def _stock_ratio(count: int, norm_of_directions: float) -> float:
    if count == 1:
        return 1.0
    cosine = max((norm_of_directions**2 - count) / (count * (count - 1)), 0.0)
    return min(count * cosine / (1 + (count - 1) * cosine), 1.0)


def choose(values: Iterator[Tensor], weights: Sequence[float], draws: Draws, out: Tensor) -> Tensor:
    """A control without meaning: each entry is that of one model, drawn with the models' weights."""
    merged = next(values)
    for value, share, draw in zip(values, shares(weights)[1:], list(draws)[1:], strict=True):
        merged = torch.where(kept(draw, value, share), value, merged)
    return merged


def kept(draw: np.random.Generator, like: Tensor, share: float) -> Tensor:
    """A mask over the entries of ``like``, each True with probability ``share``, from the next draws of ``draw``."""
    return torch.from_numpy(draw.random(like.numel(), dtype=np.float32) < share).to(like.device)
