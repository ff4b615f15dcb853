"""Merging techniques: rows of data over one streaming implementation.

Rule for what is no matrix: floating tensors (temperature and BatchNorm statistics too) are merged as any other, and
count in the flattened task vector; integer buffers (counters) are the last model's. All arithmetic is in fp32, the
result has the type of the first model. Task vectors are θ − θ₀, and the merged one is added to θ₀.

Trimming: ``density`` is the share kept of the whole flattened task vector, ⌊density·n⌋ entries and at least one, those
of equal magnitude kept with them. TIES keeps the largest (Yadav et al. 2023, arXiv 2306.01708, which trims per model
too); DARE (Yu et al. 2024, arXiv 2311.03099) keeps at random and divides by ``density``; Breadcrumbs (Davari and
Belilovsky 2024, arXiv 2312.06795, there per layer) first leaves out the largest ``outliers``. No rescaling but DARE's.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from fomo import FomoError, rng, unknown
from fomo.config import plugins
from fomo.model.weights import Weights
from methods.merging import rules
from methods.merging.lines import factors
from methods.merging.reading import Model, check_finite, dtype_of, floating, parts, read, shape_of
from methods.merging.thresholds import magnitudes

SAMPLED = 64
"""One row in so many is looked at to guess a threshold, from a tensor's middle on."""
EVERYTHING = (0.0, float("inf"))
Keys = tuple[int | str, ...]
"""What the random draws for a model are folded from."""


@dataclass(frozen=True)
class Technique:
    """What a rule needs, and what its settings mean.

    ``vectors``: it sees task vectors; ``whole``: each tensor as a whole; ``convex``: weights must sum to 1;
    ``weighted``: weights have a meaning; ``draws``: it is random; ``carries``: an entry that is not finite leaves one
    in the result, so that looking there is enough; ``trim``: what is set to 0 before, by ``magnitude`` or ``chance``.
    """

    rule: rules.Rule
    vectors: bool = True
    whole: bool = False
    convex: bool = True
    weighted: bool = True
    draws: bool = False
    carries: bool = False
    trim: str | None = None
    outliers: float = 0.0


TECHNIQUES = {
    "interpolate": Technique(rules.interpolate, vectors=False, carries=True),
    "slerp": Technique(rules.slerp, vectors=False, whole=True),
    "random": Technique(rules.choose, vectors=False, draws=True),
    "task_arithmetic": Technique(rules.weighted_sum, convex=False, carries=True),
    "ties": Technique(rules.elect, trim="magnitude"),
    "dare_ties": Technique(rules.elect, draws=True, trim="chance"),
    "breadcrumbs_ties": Technique(rules.elect, trim="magnitude", outliers=0.01),
    "model_stock": Technique(rules.stock, whole=True),
    "magmax": Technique(rules.largest, weighted=False),
}


def technique_of(name: str) -> Technique:
    """The row of a technique, a plug-in's among them; an error with the nearest name if there is none."""
    if name in TECHNIQUES:
        return TECHNIQUES[name]
    plugged = plugins.named("merges", TECHNIQUES)
    if name not in plugged:
        raise unknown("value of merging.technique", name, [*TECHNIQUES, *plugged])
    found = plugged[name].load()
    if not callable(found) and not isinstance(found, Technique):
        raise FomoError(
            f"{plugged[name]} is of type {type(found).__name__}: give a rule, or a Technique with its needs."
        )
    return found if isinstance(found, Technique) else Technique(found)


@torch.no_grad()
def merge(
    technique: str,
    models: Sequence[Model],
    weights: Sequence[float] | None = None,
    base: Model | None = None,
    *,
    density: float = 1.0,
    scale: float = 1.0,
    lines: Sequence[float] | None = None,
    keys: Sequence[Keys] | None = None,
    out: Weights | None = None,
) -> Weights:
    """One model of several, tensor by tensor.

    Args:
        weights: share of each model; equal by default.
        base: θ₀, for techniques on task vectors.
        density: share kept of each task vector, for techniques that trim.
        scale, lines: factor of the merged task vector, and LiNeS' (α, β) on top of it.
        keys: seeds of each model's draws; a tensor's name is added. Its number in the merge by default.
        out: where the result goes; may be the first model.

    Raises:
        FomoError: models of different architectures, an entry that is not finite, weights that do not sum to 1.
    """
    row = technique_of(technique)
    if not models:
        raise FomoError("there is no model to merge: give one at least.")
    weights = [1 / len(models)] * len(models) if weights is None else list(weights)
    _check(technique, models, weights, base, density, scale, lines)
    job = _Job(row, list(models), weights, base, density, list(keys or [("merge", i) for i in range(len(models))]))
    names = floating(models[0])
    scales = factors(names, lines[0], lines[1]) if lines else {}
    cuts = job.cuts(names)
    merged: Weights = {} if out is None else out
    for name in models[0]:
        if name in names:
            merged[name] = job.tensor(name, cuts, scale * scales.get(name, 1.0), merged.get(name))
        else:
            merged[name] = models[-1][name].clone()
    return merged


@dataclass(frozen=True)
class _Job:
    """The parts of a merge that are the same for every tensor."""

    row: Technique
    models: list[Model]
    weights: list[float]
    base: Model | None
    density: float
    keys: list[Keys]

    def cuts(self, names: Sequence[str]) -> list[tuple[float, float]]:
        """Per model the smallest and the largest magnitude that is kept."""
        if self.row.trim != "magnitude" or (self.density == 1 and not self.row.outliers):
            return [EVERYTHING] * len(self.models)
        size = self._size(names)
        left_out = int(Decimal(str(self.row.outliers)) * size)
        lowest = min(left_out + max(1, int(Decimal(str(self.density)) * size)), size)
        return [self._cut(model, names, left_out, lowest) for model in self.models]

    def _cut(self, model: Model, names: Sequence[str], left_out: int, lowest: int) -> tuple[float, float]:
        def vector() -> Iterator[Tensor]:
            for name in names:
                for part in self._parts(name):
                    yield self._value(model, name, part, check=True)

        def sample() -> Iterator[Tensor]:
            for name in names:
                num_rows = (shape_of(model, name) or (1,))[0]
                start, rows = num_rows // 2, math.ceil(num_rows / SAMPLED)
                yield self._value(model, name, slice(start, start + rows), check=False)

        ranks = [lowest, left_out + 1] if left_out else [lowest]
        found = magnitudes(vector, ranks, sample, self._size(names))
        return found[0], found[1] if left_out else float("inf")

    def _size(self, names: Sequence[str]) -> int:
        return sum(math.prod(shape_of(self.models[0], name)) for name in names)

    def tensor(self, name: str, cuts: Sequence[tuple[float, float]], scale: float, out: Tensor | None) -> Tensor:
        """The merged tensor, in ``out`` if given."""
        first, shape = self.models[0], shape_of(self.models[0], name)
        if out is None:
            out = torch.empty(shape, dtype=dtype_of(first, name), device=self._device(name))
        draws = [rng.generator(*key, name) for key in self.keys] if self.row.draws else []
        for part in [slice(None)] if self.row.whole else self._parts(name):
            target = out[part] if shape else out
            direct = target.dtype == torch.float32 and target.is_contiguous()
            flat = target.view(-1) if direct else torch.empty(target.numel(), device=target.device)
            merged = self.row.rule(self._trimmed(name, part, cuts, draws), self.weights, draws, flat)
            if self.row.carries:
                check_finite(name, merged)
            if self.base is not None and self.row.vectors:
                merged = torch.add(read(self.base, name, part), merged, alpha=scale, out=flat)
            if not direct or merged is not flat:
                target.copy_(merged.view(target.shape))
        return out

    def _parts(self, name: str) -> Iterator[slice]:
        return parts(shape_of(self.models[0], name), self._device(name).type)

    def _device(self, name: str) -> torch.device:
        for model in (self.base, *self.models):
            if isinstance(model, dict):
                return model[name].device
        return torch.device("cpu")

    def _value(self, model: Model, name: str, part: slice, check: bool) -> Tensor:
        value = read(model, name, part)
        if self.base is not None and self.row.vectors:
            value = value - read(self.base, name, part)
        if check:
            check_finite(name, value)
        return value

    def _trimmed(
        self, name: str, part: slice, cuts: Sequence[tuple[float, float]], draws: Sequence[np.random.Generator]
    ) -> Iterator[Tensor]:
        for index, (model, (low, high)) in enumerate(zip(self.models, cuts, strict=True)):
            # what a cut was looked for in is checked already
            value = self._value(model, name, part, check=(low, high) == EVERYTHING and not self.row.carries)
            if self.row.trim == "chance":
                value = value * rules.kept(draws[index], value, self.density) / self.density
            yield between(value, low, high)


def between(vector: Tensor, low: float, high: float) -> Tensor:
    """``vector`` with 0 where its magnitude is not in [low, high]."""
    if low > 0:  # hardshrink keeps what is larger than its bound: the next smaller fp32 keeps ``low`` itself
        vector = hardshrink(vector, float(np.nextafter(np.float32(low), np.float32(0))))
    return vector if high == float("inf") else vector - hardshrink(vector, high)


def _check(
    technique: str,
    models: Sequence[Model],
    weights: Sequence[float],
    base: Model | None,
    density: float,
    scale: float,
    lines: Sequence[float] | None,
) -> None:
    row = technique_of(technique)
    if row.vectors and base is None:
        raise FomoError(f"merging.technique={technique} works on task vectors: it needs the base model.")
    if len(weights) != len(models):
        raise FomoError(f"{len(weights)} weights for {len(models)} models to merge: give one for each.")
    if row.convex and not (math.isclose(sum(weights), 1, abs_tol=1e-6) and min(weights) >= 0):
        total = f"{' + '.join(map(str, weights))} = {sum(weights):g}"
        raise FomoError(f"weights of a merge: {total}, but with {technique} they must be 0 or more and sum to 1.")
    check_factors(technique, scale, lines)
    check_density(density, row)
    for number, model in enumerate([*models[1:], *([base] if base is not None else [])], start=2):
        _check_alike(models[0], model, number)


def check_factors(technique: str, scale: float, lines: Sequence[float] | None) -> None:
    """Refuse factors of a task vector that are none, or that a technique without task vectors cannot use."""
    if not math.isfinite(scale):
        raise FomoError(f"merging.scale={scale}: allowed are finite numbers.")
    if lines is not None and not _is_pair(lines):
        raise FomoError(f"merging.lines={lines}: give two numbers, [α, β], or null.")
    if not technique_of(technique).vectors and (lines is not None or scale != 1):
        key = "lines" if lines is not None else "scale"
        raise FomoError(
            f"merging.{key} has no meaning for merging.technique={technique}, which uses no task vectors. Take one "
            f"that does, such as task_arithmetic, or leave it out."
        )


def _is_pair(lines: object) -> bool:
    numbers = list(lines) if isinstance(lines, (list, tuple)) else []
    return len(numbers) == 2 and all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers)


def check_density(density: float, row: Technique) -> None:
    """Refuse what is no share, or leaves no room for Breadcrumbs' outliers."""
    if not 0 < density <= 1 - row.outliers:
        allowed = f"above 0 to {1 - row.outliers:g}"
        raise FomoError(f"merging.density={density}: allowed are {allowed}, a share of the task vector's entries.")


def _check_alike(one: Model, other: Model, number: int) -> None:
    strange = sorted(set(one) ^ set(other))
    if strange:
        raise FomoError(
            f"models to merge differ in architecture: {strange[0]} is in one of them alone (number {number})."
        )
    for name in one:
        if shape_of(one, name) != shape_of(other, name):
            raise FomoError(
                f"models to merge differ in architecture: {name} is {list(shape_of(one, name))} in the first and "
                f"{list(shape_of(other, name))} in number {number}."
            )
