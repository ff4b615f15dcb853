"""The architecture of a pocket model at another width: every number of channels multiplied, heads as wide as before.

As CLIP's own family does, a wider model has more heads, not wider ones, and a wider space that both towers share.
"""

import math
from collections.abc import Mapping
from typing import Any

from fomo.errors import FomoError

Values = dict[str, Any]


def widened(name: str, config: Mapping[str, Any], width: float) -> Values:
    """The configuration of an architecture that is ``width`` times as wide; that of width 1 is equal to ``config``.

    Raises:
        FomoError: some number of channels or heads would be no integer, or the width is no number above 0.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    numbers = {"heads of the text tower": text["heads"], "shared channels": config["embed_dim"]}
    if not is_resnet(config):
        numbers["heads of the image tower"] = vision["width"] // vision["head_width"]
    smallest = 1 / math.gcd(*numbers.values())
    is_number = isinstance(width, (int, float)) and not isinstance(width, bool) and 0 < width < math.inf
    if not is_number or (width / smallest) % 1:
        has = ", ".join(f"{number} {what}" for what, number in numbers.items())
        raise FomoError(
            f"width={width}: '{name}' has {has}, and each number is multiplied by the width: allowed are multiples of "
            f"{smallest:g}, as {smallest:g}, 1, 2 and 4."
        )
    return {
        **config,
        "embed_dim": round(config["embed_dim"] * width),
        "vision_cfg": {**vision, "width": round(vision["width"] * width)},
        "text_cfg": {**text, "width": round(text["width"] * width), "heads": round(text["heads"] * width)},
    }


def is_resnet(config: Mapping[str, Any]) -> bool:
    """Whether the image tower is a ModifiedResNet, whose layers are listed by stage."""
    return not isinstance(config["vision_cfg"]["layers"], int)


def width_of(name: str, config: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """How many times as wide as ``config`` the architecture ``other`` is; ``None`` where they differ by more."""
    try:
        width = other["embed_dim"] / config["embed_dim"]
        wide = widened(name, config, width)
    except (FomoError, KeyError, TypeError):
        return None
    parts = ("embed_dim", "vision_cfg", "text_cfg")
    return width if all(other.get(part) == wide[part] for part in parts) else None
