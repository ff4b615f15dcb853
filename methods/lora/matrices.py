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
"""How many maps a weight holds, stacked along its rows, by the name of the weight or of its layer."""
ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""Names of the weights that an attention module keeps without a linear layer."""
PROJECTIONS = ("proj", "text_projection")
"""Names of projections that are multiplied from the right, x @ W: stored [in, out]."""
PAPER = {
    *("q_proj", "k_proj", "v_proj", "c_proj"),  # open_clip
    *("qkv", "q", "k", "v", "kv", "fc2", "w2"),  # timm
    *("query", "key", "value", "wo"),  # transformers
}
"""Names of linear layers that give Q, K, V or end an MLP, by the library that builds the tower."""


class Matrix(NamedTuple):
    """A matrix to adapt: a weight of a module, and how the maps lie in it.

    Attributes:
        name: what it is called in errors, and what random draws for it are folded from.
        module: the module that holds it.
        weight: the name of the parameter in ``module``.
        blocks: number of maps that are stacked along its rows (outputs).
        transposed: whether it is stored [in, out].
    """

    name: str
    module: nn.Module
    weight: str
    blocks: int = 1
    transposed: bool = False

    @property
    def value(self) -> Tensor:
        """The weight as it is used now, adapted or not, in the shape that it is stored in."""
        return getattr(self.module, self.weight)

    @property
    def stacked(self) -> Tensor:
        """The weight as it is used now, without gradient: [blocks · outputs, inputs], however it is stored."""
        value = self.value.detach()
        return value.T if self.transposed else value

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (outputs) and columns (inputs) of one map."""
        rows, columns = self.stacked.shape
        return rows // self.blocks, columns


def matrices(network: nn.Module, placement: str) -> Iterator[Matrix]:
    """The matrices that ``placement`` adapts, in the network's order.

    A packed in-projection has the name of its module, a projection or separate weight that of its parameter.
    """
    for name, module in network.named_modules():
        leaf = name.rsplit(".", 1)[-1]
        if isinstance(module, nn.Linear):
            if placement == "all" or leaf in PAPER or _ends_bert_mlp(name):
                yield Matrix(name, module, "weight", PACKED.get(leaf, 1))
            continue
        for weight in (*ATTENTION, *(PROJECTIONS if placement == "all" else ())):
            # an adapted weight is computed when it is looked at: ask for its adapter first
            if parametrize.is_parametrized(module, weight) or isinstance(getattr(module, weight, None), Tensor):
                own = name if weight == "in_proj_weight" else f"{name}.{weight}".lstrip(".")
                yield Matrix(own, module, weight, PACKED.get(weight, 1), weight in PROJECTIONS)


def _ends_bert_mlp(name: str) -> bool:
    return name.endswith(".output.dense") and not name.endswith(".attention.output.dense")
