"""What is rehearsed: tiny, and of the published size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from fomo.budget.cost import Cost
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import Config, resolve
from fomo.method import Method
from fomo.model.clip import ClipModel
from fomo.planning.planner import stream_shape
from fomo.planning.reference import full_fine_tuning as reference
from fomo.planning.rehearsal import rehearse
from fomo.planning.shape import StreamShape
from fomo.training.methods import Methods
from fomo.training.step import Learner

PUBLISHED = ("model=ViT-B-16", "batch_size=512", "budget=mafs")
"""Roth et al. 2024: OpenCLIP ViT-B/16, batch 512, mixed precision."""


@dataclass(frozen=True)
class Case:
    """A learner, the shape of its stream, and the precision that memory is counted in."""

    make_learner: Callable[[], Learner]
    shape: StreamShape
    mixed: bool

    def rehearse(self) -> Cost:
        """What it costs."""
        return rehearse(self.make_learner, self.shape, self.mixed)

    def having(self, **changes: Any) -> "Case":
        """The same with another learner."""
        return replace(self, make_learner=lambda: replace(self.make_learner(), **changes))

    def with_part(self, make: Callable[[], Method]) -> "Case":
        """The same with one part more, made anew at each rehearsal as a configured one is."""

        def learner() -> Learner:
            before = self.make_learner()
            return replace(before, methods=Methods({**before.methods.parts, "extra": make()}))

        return replace(self, make_learner=learner)


def config_of(*overrides: str) -> Config:
    """A configuration."""
    return resolve(compose(overrides)).config


def case_of(config: Config, model: ClipModel, num_samples: Sequence[int]) -> Case:
    """What a run of the configuration on the model is planned by."""
    make = partial(factory.learner, config, model.network)
    return Case(make, stream_shape(config, model, num_samples), config.runtime.mixed_on_gpu)


def setting(*overrides: str, num_samples: Sequence[int] = (60,)) -> Case:
    """What those overrides rehearse, on a model without weights."""
    config = config_of(*overrides)
    return case_of(config, factory.model_shapes(config), num_samples)


def cost(*overrides: str, num_samples: Sequence[int] = (60,)) -> Cost:
    """What those overrides cost, by a rehearsal on a model without weights: one for all that ask."""
    return _cost(overrides, tuple(num_samples))


@cache
def _cost(overrides: tuple[str, ...], num_samples: tuple[int, ...]) -> Cost:
    return setting(*overrides, num_samples=num_samples).rehearse()


@cache
def full_fine_tuning(*overrides: str) -> Cost:
    """What the reference costs under those overrides: one rehearsal for all that ask."""
    case = setting(*overrides)
    return reference(case.make_learner, case.shape, case.mixed)
