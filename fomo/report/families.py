"""Families of methods: the part that tells a method from full fine-tuning, and how it is drawn."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Family(NamedTuple):
    """Its name in words, its colours on white and on black, its sign, and what plotly calls that."""

    name: str
    color: str
    on_dark: str
    sign: str
    symbol: str


ADAMW = "methods.optimizers.adamw"
FAMILIES = {
    "merging": Family("temporal merging", "#15803d", "#4ade80", "●", "circle"),
    "regularizer": Family("regulariser", "#c2410c", "#fb923c", "■", "square"),
    "optimizer": Family("optimizer", "#7e22ce", "#c084fc", "◆", "diamond"),
    "trainable": Family("part of the weights", "#1d4ed8", "#60a5fa", "▲", "triangle-up"),
    "": Family("full fine-tuning", "#111827", "#e5e7eb", "✖", "x"),
}
"""By the group whose part tells a method apart, the first of these that does."""


def family(values: Mapping[str, Any]) -> str:
    """The group that tells a configuration from full fine-tuning with AdamW, a key of :data:`FAMILIES`.

    Of the configuration of a stranger too, which may lack groups.
    """
    for group in ("merging", "regularizer"):
        if group in values and values[group].get("_target_") != "fomo.Method":
            return group
    if values.get("optimizer", {}).get("_target_", ADAMW) != ADAMW:
        return "optimizer"
    return "trainable" if "trainable" in values and values["trainable"].get("what") != "full" else ""
