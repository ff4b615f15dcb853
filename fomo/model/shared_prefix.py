"""Texts that begin alike: the tokens that all of them share are computed once, as the prefix of a prompt template is.

After BatchLLM (Zheng et al. 2024, arXiv 2412.03594), for one level of prefixes. In a causal tower the keys and values
of token i depend on tokens up to i alone, so that those of the shared ones are one and the same for every text; its n
own tokens attend to shared and own ones. Exact but for rounding. What differs: no tree of prefixes, no kernel of its
own, and no cache beyond a batch.

It is decided anew in every call, as in ``fomo/model/fast.py``: where FLOPs are counted, somebody listens, or the tower
is no causal one that pools at the end token, every text is computed by itself.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fomo.budget.flops import is_counting
from fomo.model.fast import Attention, Block, Clip, may_cut, shortest

LEAST = 3
"""Tokens that have to be shared: one alone, the mark of the beginning, is in every text."""


def encode(network: nn.Module, tokens: Tensor, device: str, alike: bool = False) -> Tensor:
    """Unit features [b, d] of texts, on the device.

    Args:
        network: a CLIP model.
        tokens: the texts [b, context], in the host's memory.
        device: where to compute.
        alike: whether the texts are to be looked at for tokens that all of them begin with.
    """
    shared = num_shared(network, tokens) if alike else 0
    if not shared:
        found: Tensor = network.encode_text(tokens[:, : shortest(network, tokens)].to(device), normalize=True)  # type: ignore[operator]
        return found
    last = int(tokens.argmax(dim=-1).max()) + 1
    return encode_after(cast(Clip, network), tokens[:, :last].to(device), shared)


def num_shared(network: nn.Module, tokens: Tensor) -> int:
    """How many tokens of texts [b, l] are computed once: all begin with them, and none is an end; 0: none are."""
    if is_counting() or not may_cut(network) or len(tokens) < 2:
        return 0
    same = int((tokens == tokens[0]).all(dim=0).cumprod(dim=0).sum())
    shared = min(same, int(tokens.argmax(dim=-1).min()))
    return shared if shared >= LEAST else 0


def encode_after(network: Clip, tokens: Tensor, shared: int) -> Tensor:
    """Unit features [b, d] of texts [b, l] that have their first tokens, ``shared`` in number, in common."""
    kind = network.transformer.get_cast_dtype()
    places = network.positional_embedding[: tokens.shape[1]].to(kind)
    first = network.token_embedding(tokens[:1, :shared]).to(kind) + places[:shared]
    rows = network.token_embedding(tokens[:, shared:]).to(kind) + places[shared:]
    length = rows.shape[1]
    mask = torch.ones(length, shared + length, dtype=torch.bool, device=rows.device).tril(shared)
    for block in network.transformer.resblocks:
        first, rows = _block(block, first, rows, mask)
    return network.pooled(rows, tokens.argmax(dim=-1) - shared, normalize=True)


def _block(block: Block, first: Tensor, rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A residual block for the shared rows [1, s, d] and the own ones [b, n, d] of texts; ``mask`` [n, s + n]."""
    attention = block.attn
    q, k, v = attention.projected(block.ln_1(first))
    own_q, own_k, own_v = attention.projected(block.ln_1(rows))
    keys = torch.cat([k.expand(len(rows), -1, -1, -1), own_k], dim=2)
    values = torch.cat([v.expand(len(rows), -1, -1, -1), own_v], dim=2)
    found = F.scaled_dot_product_attention(own_q, keys, values, attn_mask=mask)
    of_first = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return _after(block, attention, first, of_first), _after(block, attention, rows, found)


def _after(block: Block, attention: Attention, rows: Tensor, found: Tensor) -> Tensor:
    rows = rows + block.ls_1(attention.mixed(found))
    after: Tensor = rows + block.ls_2(block.mlp(block.ln_2(rows)))
    return after
