"""Keep the activations of few layers of a network, and compute the rest again in the backward pass."""

from typing import Any

from open_clip.model import CLIP
from open_clip.transformer import CustomResidualAttentionBlock
from torch import Tensor


class CustomBlock(CustomResidualAttentionBlock):  # type: ignore[misc]
    """open_clip's block of attention of its own (normed queries, scaled heads), with the arguments of its other block.

    Where activations are computed again open_clip calls both kinds alike, which this one does not take.
    """

    def forward(self, x: Tensor, k_x: None = None, v_x: None = None, attn_mask: Tensor | None = None) -> Any:
        """Rows [b, l, d] to rows."""
        return super().forward(x, attn_mask)


def recompute(network: CLIP, enabled: bool) -> None:
    """Have a network keep few activations, or all."""
    network.set_grad_checkpointing(enabled)
    for module in network.modules():
        if type(module) is CustomResidualAttentionBlock and enabled:
            module.__class__ = CustomBlock
