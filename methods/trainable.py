"""What is trained: a rule over parameter names.

Locked text tower (Zhai et al. 2022, arXiv 2111.07991, locks the image tower; here either may be) as in
Roth et al. 2024, arXiv 2408.14471: the temperature is trained with full and locked image, frozen with locked text.
"""

from torch import nn

import fomo

TEMPERATURE = ("logit_scale", "logit_bias")
TRAINED: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "full": ("image", "text", "temperature"),
    "locked_text": ("image",),
    "locked_image": ("text", "temperature"),
}


def group(name: str) -> str:
    """``image``, ``text`` or ``temperature``: the part of a CLIP model that a parameter belongs to."""
    if name in TEMPERATURE:
        return "temperature"
    return "image" if name.startswith("visual.") else "text"


class Trainable(fomo.Method):
    """Train the groups of parameters that the row ``what`` of :data:`TRAINED` names."""

    def __init__(self, what: str) -> None:
        if what not in TRAINED:
            raise fomo.unknown("value of trainable.what", what, TRAINED)
        self.groups = TRAINED[what]

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Switch gradients on and off."""
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(group(name) in self.groups)
