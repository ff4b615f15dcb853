"""Temporal merging: merging after each task (Dziadzio et al. 2024, arXiv 2412.06712), as three axes.

They are what the next task starts from (:data:`INITS`), what is evaluated (:data:`DEPLOYS`) and the technique
(``techniques.py``). Presets: EMA-merge (merged, running; Stojanovski et al. 2022, arXiv 2211.03186), ZS-merge
(zero_shot, running), FT-merge (latest, with_base), offline merge (zero_shot, all). Merging sees folded weights; where
training does not start from the latest, adapters are folded and start anew.

Memory: θ₀, where it is needed, and one merge, both in the host's; experts that must live (``all``) are files in
``workdir``, read in slices. Random draws are those of (seed, task, model, tensor): what is evaluated is what training
goes on from, and an expert's mask is the same in every merge.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import fomo
from methods.merging.lines import positions
from methods.merging.merge import Keys, merge
from methods.merging.reading import Model, Stored, store
from methods.merging.techniques import check_density, check_factors, check_scope, technique_of, with_options
from methods.trained import trained

INITS = {
    "zero_shot": "θ₀",
    "latest": "the weights just trained",
    "merged": "what is deployed",
}
"""What the training of the next task starts from, in words."""
DEPLOYS = {
    "latest": "θ_t, nothing is merged",
    "running": "m_t = merge(m_{t−1}, θ_t), m₀ = θ₀",
    "all": "merge(θ₁, …, θ_t) in equal parts, one expert as it is",
    "with_base": "merge(θ₀, θ_t)",
}
"""What is evaluated after task t, as a formula."""
DENSITY = 0.3
"""Share of a task vector that trimming techniques keep by default, as in the code of Roth et al. 2024."""
OFFLINE_DENSITY = 0.8
"""The default with ``deploy="all"``, as there."""


class TemporalMerge(fomo.Method):
    """Merges the weights after each task: one point of the three axes.

    Args:
        init: a key of :data:`INITS`.
        deploy: a key of :data:`DEPLOYS`.
        technique: the name of a merging technique, built in or of a plug-in.
        weight: share of the OLD model (m_{t−1}, or θ₀) in a merge of two, 0 to 1.
        density: share of a task vector's entries that trimming techniques keep; ``None`` is 0.3, with
            ``deploy="all"`` 0.8.
        scope: what that is the share of: ``tower`` or ``model``.
        scale: factor of the merged task vector.
        lines: LiNeS' (α, β), a factor by layer on top of ``scale``; ``None`` leaves it out.
        options: settings of the technique's rule, for one of a plug-in that has some.

    Raises:
        FomoError: an unknown name, a value out of range, a setting without meaning for the rest.
    """

    group = "merging"

    def __init__(
        self,
        init: str,
        deploy: str,
        technique: str = "interpolate",
        weight: float = 0.5,
        density: float | None = None,
        scope: str = "tower",
        scale: float = 1.0,
        lines: Sequence[float] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.init = init
        self.deploy = deploy
        self.technique = technique
        self.restarts_adapters = init != "latest"
        self.weight = weight
        self.scope = scope
        self.scale = scale
        self.lines = lines
        self.options = options
        default = OFFLINE_DENSITY if deploy == "all" else DENSITY
        self.density = default if density is None else density
        self._check(density)
        self._base: fomo.Weights = {}
        self._merged: fomo.Weights | None = None

    def _check(self, density: float | None) -> None:
        for key, value, allowed in (("init", self.init, INITS), ("deploy", self.deploy, DEPLOYS)):
            if value not in allowed:
                raise fomo.unknown(f"value of merging.{key}", value, allowed)
        row = with_options(self.technique, self.options)
        if not 0 <= self.weight <= 1:
            raise fomo.FomoError(f"merging.weight={self.weight}: allowed are 0 to 1, the share of the old model.")
        check_factors(self.technique, self.scale, self.lines)
        if self.init == "merged" and self.deploy == "latest":
            raise fomo.FomoError("merging.init=merged: merging.deploy=latest merges nothing. Take deploy=running.")
        without = f"has no meaning for merging.technique={self.technique}"
        given = {"density": density is not None, "scope": self.scope != "tower", "scale": self.scale != 1}
        for key, idle in (given | {"lines": bool(self.lines), "options": bool(self.options)}).items():
            if idle and self.deploy == "latest":
                raise fomo.FomoError(f"merging.{key}: merging.deploy=latest merges nothing. Leave it out.")
        if row.trim is None and density is not None:
            raise fomo.FomoError(f"merging.density={density} {without}, which trims nothing. Give null.")
        if self.weight != 0.5 and (not row.weighted or self.deploy in ("all", "latest")):
            reason = without if not row.weighted else f"has no meaning for merging.deploy={self.deploy}"
            raise fomo.FomoError(f"merging.weight={self.weight} {reason}. Leave it at 0.5.")
        check_scope(self.scope, row)
        if row.trim:
            check_density(self.density, row)

    @property
    def _needs_base(self) -> bool:
        merges_vectors = technique_of(self.technique).vectors and self.deploy != "latest"
        return merges_vectors or self.init == "zero_shot" or self.deploy == "with_base"

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Keep θ₀ in the host's memory where a merge or a start needs it, and as the first running merge m₀."""
        trained(network, "merging", "there is nothing to merge")
        base = fomo.weights.on_host(network)
        if self.lines is not None:
            positions(base)
        self._base = base if self._needs_base else {}
        self._merged = base if self.deploy == "running" else None

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Merge the weights just trained, and set the network to what the next task starts from."""
        if not (self.init == self.deploy == "latest"):
            self._merged = self._deployed_after(network, task)
        if self.init == "zero_shot":
            fomo.weights.load(network, self._base)
        elif self.init == "merged" and self._merged is not None:
            fomo.weights.load(network, self._merged)

    def _deployed_after(self, network: nn.Module, task: fomo.Task) -> fomo.Weights:
        trained = fomo.weights.on_host(network)
        if self.deploy == "latest":
            return trained
        if self.deploy == "all":
            store(self._file(task.number), trained)
            experts = [Stored(self._file(number)) for number in range(1, task.number + 1)]
            return self._merge(experts, None, [(task.seed, "merge", n + 1) for n in range(len(experts))])
        assert self._merged is not None or self.deploy == "with_base"
        old = self._base if self._merged is None or self.deploy == "with_base" else self._merged
        keys: list[Keys] = [(task.seed, "merge", task.number, name) for name in ("old", "new")]
        return self._merge([old, trained], [self.weight, 1 - self.weight], keys)

    def _merge(self, models: Sequence[Model], weights: Sequence[float] | None, keys: Sequence[Keys]) -> fomo.Weights:
        with fomo.host_memory():
            if len(models) == 1:
                return {name: value.to("cpu", copy=True) for name, value in models[0].items()}
            return merge(
                self.technique,
                models,
                weights,
                self._base or None,
                density=self.density,
                scope=self.scope,
                scale=self.scale,
                lines=self.lines,
                keys=keys,
                options=self.options,
                out=None if self._merged is self._base else self._merged,
            )

    def _file(self, task: int) -> Path:
        if self.workdir is None:
            raise fomo.FomoError("merging.deploy=all keeps every expert on disk: set the method's workdir.")
        return self.workdir / f"expert_{task:04d}.safetensors"

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        """While open, the network holds the merge; if training goes on from other weights, they are back afterwards."""
        if self._merged is None or self.init == "merged":
            yield
            return
        device = next(network.parameters()).device
        with fomo.weights.swapped(network, {name: value.to(device) for name, value in self._merged.items()}):
            yield

    def flops(self, hook: str, network: nn.Module, task: fomo.Task | None) -> int | None:
        """0 for an ``end_task`` that cannot be rehearsed, since it reads files, norms, thresholds or draws of NumPy.

        A merge is element-wise and makes no products. Else ``None``: the hook is rehearsed.
        """
        row = technique_of(self.technique)
        reads = self.deploy == "all" or row.whole or row.draws or row.trim is not None
        return 0 if reads and hook == "end_task" else None

    def state_dict(self) -> dict[str, Tensor]:
        """The merge so far, if there is one. θ₀ comes again with ``begin_run``; experts are files in ``workdir``."""
        return dict(self._merged or {})

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on from the merge in ``state``, copied to the host's memory; there is none if ``state`` is empty."""
        with fomo.host_memory():
            self._merged = {name: value.to("cpu", copy=True) for name, value in state.items()} or None
