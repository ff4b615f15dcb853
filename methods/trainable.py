"""What is trained: a rule over the kinds of parameters.

- Locked text tower (Zhai et al. 2022, arXiv 2111.07991, locks the image tower; here either may be) as in Roth et al.
  2024, arXiv 2408.14471: the temperature is trained with full and locked image, frozen with locked text.
- LNFit (De Min et al. 2023, arXiv 2308.09610): the affine part of norm layers; BatchNorm's too, its statistics fixed.
- BitFit (Ben Zaken et al. 2022, arXiv 2106.10199): all bias vectors, those of norm layers and of the packed
  in-projection among them. The temperature is frozen with both.
"""

from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

import fomo
from methods.papers import PAPERS, Papers

TEMPERATURE = ("logit_scale", "logit_bias")
"""Names of the parameters that are neither of the image tower nor of the text tower."""
NORMS = (nn.LayerNorm, nn.GroupNorm, _NormBase)


class TrainableRow(NamedTuple):
    """A row of :data:`TRAINED` or of ``ADAPTERS``: what is trained in words, its kinds of parameters, the papers."""

    trains: str
    kinds: tuple[str, ...] = ()
    papers: Papers = ()


TRAINED = {
    "full": TrainableRow("everything", ("image", "text", "temperature")),
    "locked_text": TrainableRow("the image tower", ("image",), (PAPERS["locked"],)),
    "locked_image": TrainableRow("the text tower", ("text", "temperature"), (PAPERS["locked"],)),
    "lnfit": TrainableRow("scale and shift of norm layers, BatchNorm's too", ("norm",), (PAPERS["lnfit"],)),
    "bitfit": TrainableRow("all biases, of norms and of the packed in-projection too", ("bias",), (PAPERS["bitfit"],)),
    "nothing": TrainableRow("nothing", ()),
}


def group(name: str) -> str:
    """The part of a CLIP model that a parameter belongs to by its name: ``image``, ``text`` or ``temperature``."""
    if name in TEMPERATURE:
        return "temperature"
    return "image" if name.startswith("visual.") else "text"


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm layer: one of torch's or a subclass, or one whose class has a name in ``…Norm``."""
    return isinstance(module, NORMS) or type(module).__name__.endswith("Norm")


def kinds(network: nn.Module) -> dict[str, set[str]]:
    """The kinds of every parameter, by its name: its :func:`group`, and ``norm`` or ``bias`` or both."""
    found = {name: {group(name)} for name, _ in network.named_parameters()}
    for prefix, module in network.named_modules():
        for leaf, _ in module.named_parameters(recurse=False):
            name = f"{prefix}.{leaf}".lstrip(".")
            if name in found and found[name] != {"temperature"}:  # tied ones have one name
                found[name] |= {"norm"} if is_norm(module) else set()
                found[name] |= {"bias"} if leaf == "bias" or leaf.endswith("_bias") else set()
    return found


class Trainable(fomo.Method):
    """Train the kinds of parameters that the row ``what`` of :data:`TRAINED` names, and freeze all others.

    Raises:
        FomoError: an unknown row, or a model without a parameter of these kinds.
    """

    group = "trainable"

    def __init__(self, what: str) -> None:
        if what not in TRAINED:
            raise fomo.unknown("value of trainable.what", what, TRAINED)
        self.what = what
        self.trained = set(TRAINED[what].kinds)

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Check that the model has what is to be trained. Gradients are switched here too, for later parts to see."""
        self._switch(network)
        if self.trained and not any(parameter.requires_grad for parameter in network.parameters()):
            raise fomo.FomoError(f"trainable.what={self.what}: the model has no such parameter.")

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Require gradients of what is trained, and of nothing else."""
        self._switch(network)

    def _switch(self, network: nn.Module) -> None:
        of = kinds(network)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(bool(self.trained & of[name]))
