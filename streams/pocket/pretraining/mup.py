"""muP: initial weights and rates under which the best learning rate of one width is that of another (Yang et al. 2021,
arXiv 2203.03466, Tables 3 and 8; Adam).

Of a model w times as wide as the base, relative to the base:

    kind of parameter                                             initial variance     rate
    hidden (in_proj, out_proj, c_fc, c_proj, both projections)    1/w                  1/w
    input (patches, tokens, positions, class token), biases,      1                    1
    norms, temperature

Hidden is what grows along two dimensions. All of w = 1 is the plain parametrisation, bit for bit.

- **Initial weights.** open_clip draws hidden matrices with a variance of 1/fan_in, and so 1/w, already. What it draws
  smaller in a wider model, though it is of the second kind, is multiplied by √w: the image tower's class token and
  positions, and the biases of both MLP layers.
- **Attention.** Scores are q·k/√d of heads d wide, and muP's are q·k/d. A wider model here has more heads, not wider
  ones (``fomo/model/widths.py``), so relative to the base they are the same: no factor is left.
- **Outputs.** The space that both towers share grows with them. So their projections are hidden, and what muP calls the
  output, with its factor of 1/w, is the cosine: 1/d Σ xᵢyᵢ for features whose entries are of size 1, as normalised ones
  are but for 1/√d each. A shared space of a fixed size would make projections outputs, which normalising robs of their
  factor: tried here, the first steps move features the more, the wider the model is.
- **Weight decay** is decoupled and has the rate as a factor; that of hidden matrices is multiplied by w, as the
  authors' ``mup`` does, so that a step decays the same share at every width. Adam's ε is the same for all.

For Adam alone: of SGD, LARS and LAMB the table has other rows, or none. ``fomo pretrain`` knows AdamW only. It says
nothing of weights that are there already: pretrained CLIP models are in no such parametrisation.
"""

import re

import torch
from torch import nn

from fomo.errors import FomoError
from fomo.model.shipped import pocket, read_config
from fomo.model.widths import is_resnet

STANDARD = "standard"
MUP = "mup"
PARAMETRIZATIONS = (STANDARD, MUP)
SMALLER = re.compile(r"^visual\.(class|positional)_embedding$|\.mlp\.c_(fc|proj)\.bias$")
"""Parameters that are no hidden matrices and that open_clip draws smaller by 1/√w in a wider model."""


def check(name: str) -> None:
    """Refuse a model that muP is not defined for here.

    Raises:
        FomoError: its image tower is a ResNet.
    """
    if is_resnet(read_config(name)):
        raise FomoError(
            f"parametrization={MUP}: not defined for the ResNet of '{name}', whose attention pool and BatchNorm have "
            f"no rule here. Take model=pocket, or parametrization={STANDARD}."
        )


def hidden(name: str, network: nn.Module) -> set[str]:
    """The parameters that are larger or smaller along two dimensions than those of the base model ``name``."""
    base = dict(pocket(name, shapes_only=True).network.named_parameters())
    return {
        each
        for each, parameter in network.named_parameters()
        if sum(map(int.__ne__, parameter.shape, base[each].shape)) == 2
    }


@torch.no_grad()
def set_initial(network: nn.Module, width: float) -> None:
    """Multiply by √w what open_clip has drawn smaller than at the base's width and muP wants as large."""
    for name, parameter in network.named_parameters():
        if SMALLER.search(name):
            parameter.mul_(width**0.5)
