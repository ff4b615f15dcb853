"""Which matrices of a CLIP network are adapted.

``placement="paper"`` is that of Roth et al. 2024 (arXiv 2408.14471): Q, K and V, separately, and the MLP's last map of
every block of both towers. ``"all"`` is every linear map, the projections into the shared space among them.
Convolutions are never adapted: of a convolutional tower, the attention pool and other linear maps are.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils import parametrize

PLACEMENTS = ("paper", "all")
PACKED = {"in_proj_weight": 3, "qkv": 3, "kv": 2}
"""Matrices that hold several, stacked: how many."""
ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""Parameters of attention modules that keep them without a linear layer."""
PROJECTIONS = ("proj", "text_projection")
"""Parameters that are multiplied from the right, x @ W: stored [in, out]."""
PAPER = {
    "open_clip": ("q_proj", "k_proj", "v_proj", "c_proj"),
    "timm": ("qkv", "q", "k", "v", "kv", "fc2", "w2"),
    "transformers": ("query", "key", "value", "wo"),
}
"""Names of linear layers that give Q, K, V or end an MLP, by the library that builds the tower."""
ALL_PAPER = {name for names in PAPER.values() for name in names}


class Matrix(NamedTuple):
    """``blocks`` maps stacked along the rows of ``weight`` of ``module``; ``transposed`` if it is stored [in, out]."""

    name: str
    module: nn.Module
    weight: str
    blocks: int = 1
    transposed: bool = False

    @property
    def value(self) -> Tensor:
        """The weight as it is used now."""
        value: Tensor = getattr(self.module, self.weight)
        return value

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (outputs) and columns (inputs) of one map."""
        rows, columns = reversed(self.value.shape) if self.transposed else self.value.shape
        return rows // self.blocks, columns


def matrices(network: nn.Module, placement: str) -> Iterator[Matrix]:
    """What ``placement`` adapts, in the network's order; the packed in-projection goes by its module's name."""
    for name, module in network.named_modules():
        leaf = name.rsplit(".", 1)[-1]
        if isinstance(module, nn.Linear):
            if placement == "all" or leaf in ALL_PAPER or _ends_bert_mlp(name):
                yield Matrix(name, module, "weight", PACKED.get(leaf, 1))
            continue
        for weight in (*ATTENTION, *(PROJECTIONS if placement == "all" else ())):
            # an adapted weight is computed when it is looked at: ask for its adapter first
            if parametrize.is_parametrized(module, weight) or isinstance(getattr(module, weight, None), Tensor):
                own = name if weight == "in_proj_weight" else f"{name}.{weight}".lstrip(".")
                yield Matrix(own, module, weight, PACKED.get(weight, 1), weight in PROJECTIONS)


def _ends_bert_mlp(name: str) -> bool:
    return name.endswith(".output.dense") and not name.endswith(".attention.output.dense")
