"""A text tower that encodes sentences: BERT's encoder, and the mean of its rows.

Devlin et al. 2019 (arXiv 1810.04805), pooled as in Reimers & Gurevych 2019 (arXiv 1908.10084): for rows h of the tokens
that are no padding, the feature is :math:`\\frac{1}{n} \\sum_i h_i`. What differs from the usual code: there is one
kind of segment, whose embedding is part of the positions, and no dropout.
"""

from typing import Any

import torch
from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from fomo.budget.flops import is_counting
from fomo.model.listeners import is_listened_to

PADDING = 0
"""The token that fills texts up."""
EPSILON = 1e-12
"""Of BERT's norms."""


class SelfAttention(nn.Module):
    """Attention of all rows to those that are no padding."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, rows: Tensor, seen: Tensor) -> Tensor:
        """Rows [b, l, d] to rows; ``seen`` [b, 1, 1, l] says which rows are attended to."""
        q, k, v = (self._heads(layer(rows)) for layer in (self.query, self.key, self.value))
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.out(found.transpose(1, 2).flatten(2))

    def _heads(self, rows: Tensor) -> Tensor:
        return rows.unflatten(2, (self.heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention and a perceptron, each followed by a norm over itself and what it was given."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.attention_norm = nn.LayerNorm(width, EPSILON)
        self.mlp = Mlp(width, inner)
        self.mlp_norm = nn.LayerNorm(width, EPSILON)

    def forward(self, rows: Tensor, seen: Tensor) -> Tensor:
        """Rows [b, l, d] to rows."""
        rows = self.attention_norm(rows + self.attention(rows, seen))
        return self.mlp_norm(rows + self.mlp(rows))


class SentenceTower(nn.Module):
    """Features of texts.

    Args:
        context_length: tokens of a text.
        vocab_size: how many tokens there are.
        width: of rows and features.
        heads: of each attention layer.
        layers: of the encoder.
        mlp_ratio: rows of the perceptrons are so many times wider.
    """

    def __init__(
        self, context_length: int, vocab_size: int, width: int, heads: int, layers: int, mlp_ratio: float = 4.0
    ) -> None:
        super().__init__()
        self.context_length = context_length
        self.vocab_size = vocab_size
        self.word_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Embedding(context_length, width)
        self.embedding_norm = nn.LayerNorm(width, EPSILON)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, int(mlp_ratio * width)) for _ in range(layers))
        self.grad_checkpointing = False

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep the activations of few layers, or all."""
        self.grad_checkpointing = enable

    def forward(self, tokens: Tensor) -> Tensor:
        """Features [b, d] of texts [b, l]."""
        tokens = self._without_padding(tokens)
        real = tokens != PADDING
        rows = self.word_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        rows = self.embedding_norm(rows)
        for layer in self.layers:
            rows = self._layer(layer, rows, real[:, None, None])
        weights = real.to(rows.dtype)
        return torch.einsum("bld,bl->bd", rows, weights) / weights.sum(1, keepdim=True)

    def _layer(self, layer: nn.Module, rows: Tensor, seen: Tensor) -> Any:
        if self.grad_checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, rows, seen, use_reentrant=False)
        return layer(rows, seen)

    def _without_padding(self, tokens: Tensor) -> Tensor:
        """Columns up to the end of the longest text: no feature depends on the others. All where FLOPs are counted,
        where somebody listens, and on a GPU, which would be waited for.
        """
        if tokens.device.type != "cpu" or not len(tokens) or is_counting() or is_listened_to(self.modules()):
            return tokens
        return tokens[:, : max(1, int((tokens != PADDING).sum(1).max()))]
