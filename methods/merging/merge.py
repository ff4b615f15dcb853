"""Merging several models into one, tensor by tensor and in slices: one implementation for every technique.

Rule for what is no matrix: floating tensors (temperature and BatchNorm statistics too) are merged as any other, and
count in the flattened task vector; integer buffers (counters) are the last model's. All arithmetic is in fp32, the
result has the type of the first model. Task vectors are θ − θ₀, and the merged one is added to θ₀.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from fomo import FomoError, Weights, rng
from methods.merging import rules
from methods.merging.lines import factors
from methods.merging.reading import Model, check_finite, dtype_of, floating, parts, read, shape_of
from methods.merging.techniques import Technique, check_density, check_factors, check_scope, technique_of, with_options
from methods.merging.thresholds import magnitudes

SAMPLED = 64
"""One row in so many is looked at to guess a threshold, from a tensor's middle on."""
Cut = tuple[float, float]
"""The smallest and the largest magnitude that is kept of a model's task vector."""
EVERYTHING: Cut = (0.0, float("inf"))
"""The cut where nothing is trimmed."""
Keys = tuple[int | str, ...]
"""What the random draws for a model are folded from."""


@torch.no_grad()
def merge(
    technique: str,
    models: Sequence[Model],
    weights: Sequence[float] | None = None,
    base: Model | None = None,
    *,
    density: float = 1.0,
    scope: str = "tower",
    scale: float = 1.0,
    lines: Sequence[float] | None = None,
    keys: Sequence[Keys] | None = None,
    options: Mapping[str, Any] | None = None,
    out: Weights | None = None,
) -> Weights:
    """One model of several, tensor by tensor.

    Args:
        technique: a name in :data:`TECHNIQUES`, or that of a plug-in.
        models: the models θᵢ, one at least, all of the same names and shapes.
        weights: the weight wᵢ of each model; equal ones that sum to 1 by default.
        base: θ₀, for techniques on task vectors.
        density: share of the entries of each task vector that is kept, for techniques that trim.
        scope: a key of :data:`SCOPES`, what that is the share of.
        scale: factor of the merged task vector.
        lines: LiNeS' (α, β), a factor by layer of the merged task vector on top of ``scale``.
        keys: what the random draws for each model are folded from, a tensor's name being added; by default
            the model's number in the merge.
        options: settings of the rule's own.
        out: the tensors that the result is written to; may be those of the first model. New ones by default.

    Raises:
        FomoError: models of different architectures, an entry that is not finite, weights that do not sum to 1.
    """
    row = with_options(technique, options)
    if not models:
        raise FomoError("there is no model to merge: give one at least.")
    weights = [1 / len(models)] * len(models) if weights is None else list(weights)
    _check(technique, models, weights, base, density, scale, lines)
    check_scope(scope, row)
    keys = list(keys or [("merge", i) for i in range(len(models))])
    job = _MergeJob(row, list(models), weights, base, density, scope, keys)
    names = floating(models[0])
    scales = factors(names, lines[0], lines[1]) if lines else {}
    cuts = job.cuts(names)
    merged: Weights = {} if out is None else out
    for name in models[0]:
        if name in names:
            merged[name] = job.tensor(name, cuts[name], scale * scales.get(name, 1.0), merged.get(name))
        else:
            merged[name] = models[-1][name].clone()
    return merged


@dataclass(frozen=True)
class _MergeJob:
    """The arguments of a merge that are the same for every tensor."""

    row: Technique
    models: list[Model]
    weights: list[float]
    base: Model | None
    density: float
    scope: str
    keys: list[Keys]

    def cuts(self, names: Sequence[str]) -> dict[str, list[Cut]]:
        """What is kept, by model, of every tensor; tensors that are trimmed together have the same cuts."""
        if self.row.trim != "magnitude" or (self.density == 1 and not self.row.outliers):
            return dict.fromkeys(names, [EVERYTHING] * len(self.models))
        found: dict[str, list[Cut]] = {}
        for together in trimmed_together(names, self.scope):
            found |= dict.fromkeys(together, self._cuts_of(together))
        return found

    def _cuts_of(self, names: Sequence[str]) -> list[Cut]:
        size = self._size(names)
        left_out = int(Decimal(str(self.row.outliers)) * size)
        lowest = max(left_out + 1, int(Decimal(str(self.density)) * size))
        return [self._cut(model, names, left_out, lowest) for model in self.models]

    def _cut(self, model: Model, names: Sequence[str], left_out: int, lowest: int) -> Cut:
        def vector() -> Iterator[Tensor]:
            for name in names:
                for part in self._parts(name):
                    yield self._value(model, name, part, check=True)

        def sample() -> Iterator[Tensor]:
            for name in names:
                num_rows = (shape_of(model, name) or (1,))[0]
                start = num_rows // 2
                rows = math.ceil(num_rows / SAMPLED)
                yield self._value(model, name, slice(start, start + rows), check=False)

        found = magnitudes(vector, [lowest, left_out + 1] if left_out else [lowest], sample, self._size(names))
        return found[0], found[1] if left_out else float("inf")

    def _size(self, names: Sequence[str]) -> int:
        return sum(math.prod(shape_of(self.models[0], name)) for name in names)

    def tensor(self, name: str, cuts: Sequence[Cut], scale: float, out: Tensor | None) -> Tensor:
        """The merged tensor ``name``.

        Args:
            name: of the tensor in every model.
            cuts: what is kept of each model's task vector.
            scale: factor of the merged task vector.
            out: the tensor to write to; a new one if ``None``.
        """
        first = self.models[0]
        shape = shape_of(first, name)
        if out is None:
            out = torch.empty(shape, dtype=dtype_of(first, name), device=self._device(name))
        draws = [rng.generator(*key, name) for key in self.keys] if self.row.draws else []
        before = self._versions(name, out)
        for part in [slice(None)] if self.row.whole else self._parts(name):
            target = out[part] if shape else out
            direct = target.dtype == torch.float32 and target.is_contiguous()
            flat = target.view(-1) if direct else torch.empty(target.numel(), device=target.device)
            merged = self.row.rule(self._trimmed(name, part, cuts, draws), self.weights, draws, flat)
            _check_piece(name, merged, flat)
            if self.row.carries:
                check_finite(name, merged)
            if self.base is not None and self.row.vectors:
                merged = torch.add(read(self.base, name, part), merged, alpha=scale, out=flat)
            if not direct or merged is not flat:
                target.copy_(merged.view(target.shape))
        if self._versions(name, out) != before:
            raise FomoError(f"the rule of the merge writes to a model that it merges ({name}): write to out alone.")
        return out

    def _versions(self, name: str, out: Tensor) -> list[int]:
        """What changes when a rule writes to a model in memory; ``out`` may be the first one's own."""
        own = (model[name] for model in self.models if isinstance(model, dict))
        return [each._version for each in own if each is not out and not each.is_inference()]

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
        self, name: str, part: slice, cuts: Sequence[Cut], draws: Sequence[np.random.Generator]
    ) -> Iterator[Tensor]:
        for index, (model, (low, high)) in enumerate(zip(self.models, cuts, strict=True)):
            # what a cut was looked for in is checked already
            value = self._value(model, name, part, check=(low, high) == EVERYTHING and not self.row.carries)
            if self.row.trim == "chance":
                value = value * rules.kept(draws[index], value, self.density) / self.density
            yield between(value, low, high)


def _check_piece(name: str, merged: Any, flat: Tensor) -> None:
    """Refuse what a rule returns if it is no piece: a single number would be spread over all entries."""
    if not isinstance(merged, Tensor) or merged.shape != flat.shape:
        found = f"a tensor {list(merged.shape)}" if isinstance(merged, Tensor) else f"a {type(merged).__name__}"
        raise FomoError(f"the rule of the merge returns {found} for pieces {list(flat.shape)} of {name}.")


def trimmed_together(names: Sequence[str], scope: str) -> list[list[str]]:
    """The tensors that share a threshold: those of the image tower (``visual.…``) and all others, or all of them."""
    if scope == "model":
        return [list(names)]
    image = [name for name in names if name.startswith("visual.")]
    others = [name for name in names if not name.startswith("visual.")]
    return [each for each in (image, others) if each]


def between(vector: Tensor, low: float, high: float) -> Tensor:
    """``vector`` with 0 in place of every entry whose magnitude is not in [low, high]; it is not written to."""
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
    if not (math.isclose(sum(weights), 1, abs_tol=1e-6) and min(weights) >= 0):
        raise FomoError(
            f"weights of a merge: {' + '.join(map(str, weights))} = {sum(weights):g}: they must be 0 or more and sum "
            "to 1."
        )
    check_factors(technique, scale, lines)
    check_density(density, row)
    for number, model in enumerate([*models[1:], *([base] if base is not None else [])], start=2):
        _check_alike(models[0], model, number)


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
