"""Settings to rehearse: tiny, and of the published size."""

from collections.abc import Sequence

from fomo.budget.cost import Cost
from fomo.config.compose import compose
from fomo.config.parts import build
from fomo.config.schema import Config, resolve
from fomo.model.clip import ClipModel, checkpoint_activations
from fomo.planning.planner import setting_of
from fomo.planning.rehearsal import Setting, rehearse

PUBLISHED = ("model=ViT-B-16", "batch_size=512", "budget=mafs")
"""Roth et al. 2024: OpenCLIP ViT-B/16, batch 512, mixed precision."""


def config_of(*overrides: str) -> Config:
    """A configuration."""
    return resolve(compose(overrides)).config


def setting(*overrides: str, num_samples: Sequence[int] = (60,)) -> Setting:
    """What those overrides rehearse, on a model without weights."""
    config = config_of(*overrides)
    model: ClipModel = build("model", config.model, shapes_only=True)
    checkpoint_activations(model.network, config.runtime.grad_checkpointing)
    return setting_of(config, model, num_samples)


def cost(*overrides: str, num_samples: Sequence[int] = (60,)) -> Cost:
    """The same, rehearsed."""
    return rehearse(setting(*overrides, num_samples=num_samples))
