"""CLIP models: the shipped pocket bases, and any open_clip model with the softmax loss."""

import importlib
from typing import Any

_LAZY = {
    "pocket": "fomo.model.shipped",
    "pretrained_clip": "fomo.model.open_clip",
    "desktop_clip": "fomo.model.desktop",
}
"""The builders that configurations name: their dotted names are part of every stored configuration and its hash."""


def __getattr__(name: str) -> Any:
    # torch is imported when a model is built, not when the command line lists names.
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fomo.model' has no attribute '{name}'")
