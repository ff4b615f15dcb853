"""The features of open_clip's transformers in less time. Exact but for rounding, and never while FLOPs are counted.

The budget charges what the protocol computes: whole attention layers over 77 tokens and every patch. While FLOPs are
counted (the rehearsal, the first and some other steps, hooks outside of steps) the towers are open_clip's own. Else:

- attention reads q, k and v as views of one packed projection, where ``nn.MultiheadAttention`` copies them;
- a text tower that is causal and pools at the end token computes the batch's longest text, not the whole context;
- of the last block of an image tower that pools its first token, queries and MLP are computed for that token alone;
- patches are one matrix product in place of a convolution;
- blocks may be compiled (:func:`compile_blocks`).

It is decided anew in every call: a network that a hook of somebody else listens to, or of which somebody has changed a
layer, a method, the mask or the pooling since it was built, computes every layer whole, as open_clip has it.
"""

from collections.abc import Callable, Iterator, MutableMapping
from functools import cache
from itertools import chain
from typing import Any, cast

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock, Transformer, VisionTransformer
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.weak import WeakTensorKeyDictionary

from fomo.budget.flops import is_counting
from fomo.errors import FomoError
from fomo.model.listeners import is_listened_to
from fomo.system.text import first_line

CAUSAL = "causal"
"""Stands for the causal mask of a text tower, which is then never read."""
STEP = 8
"""Texts are cut to a multiple of so many tokens: a compiled block knows few lengths."""
NUM_GRAPHS = 256
"""Forms of a block that are compiled at most: lengths of text, images, sizes of batches. Torch's own limit of 8 would
leave to the order in which they come which of them are not, and that is another one in a run that goes on.
"""


class Attention(nn.MultiheadAttention):
    """Self-attention whose q, k and v are views of one product; all else is ``nn.MultiheadAttention``'s."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *rest: Any, attn_mask: Any = None, **more: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Attention of ``query`` [b, 1 or l, d] to ``key`` [b, l, d]; ``attn_mask`` is :data:`CAUSAL`, or none is."""
        is_ours = attn_mask is None or attn_mask is CAUSAL
        is_asked = not rest and more == {"need_weights": False} and key is value and query.dim() == 3
        if is_counting() or not is_ours or not is_asked or self.dropout:
            whole: Callable[..., tuple[Tensor, Tensor | None]] = super().forward
            return whole(query, key, value, *rest, attn_mask=attn_mask, **more)
        q, k, v = self._projected(query, key)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=attn_mask is CAUSAL)
        return self.mixed(found), None

    def mixed(self, found: Tensor) -> Tensor:
        """What the heads found [b, heads, rows, d ÷ heads], as rows [b, rows, d] after the output's projection."""
        return F.linear(found.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias)

    def projected(self, rows: Tensor) -> list[Tensor]:
        """q, k and v of rows [b, rows, d], each [b, heads, rows, d ÷ heads]."""
        return self._heads(F.linear(rows, self.in_proj_weight, self.in_proj_bias), 3)

    def _projected(self, query: Tensor, key: Tensor) -> list[Tensor]:
        if query is key:
            return self.projected(query)
        width = self.embed_dim
        weight = self.in_proj_weight
        bias = self.in_proj_bias
        q = F.linear(query, weight[:width], bias[:width])
        return self._heads(q, 1) + self._heads(F.linear(key, weight[width:], bias[width:]), 2)

    def _heads(self, projected: Tensor, number: int) -> list[Tensor]:
        batch, length, _ = projected.shape
        parts = projected.view(batch, length, number, self.num_heads, self.head_dim).unbind(2)
        return [part.transpose(1, 2) for part in parts]


class Block(ResidualAttentionBlock):  # type: ignore[misc]
    """open_clip's residual block; maybe compiled, and maybe for the first row of each sequence alone."""

    is_compiled = False

    def forward(
        self,
        q_x: Tensor,
        k_x: Tensor | None = None,
        v_x: Tensor | None = None,
        attn_mask: Any = None,
        first_only: bool = False,
    ) -> Tensor:
        """Rows [b, l, d] to rows; with ``first_only`` to the first one of each sequence, [b, 1, d]."""
        is_ours = k_x is None and v_x is None and not isinstance(attn_mask, Tensor)
        if is_counting() or not is_ours or "attention" in self.__dict__:
            return super().forward(q_x, k_x, v_x, attn_mask)
        compute = _compiled() if self.is_compiled and _can_compile(self) else _block
        return compute(self, q_x, attn_mask, first_only)


def _can_compile(block: Block) -> bool:
    """Whether compiling pays: for gradients, and where no layer is adapted, which would be another graph each."""
    plain = not any(map(parametrize.is_parametrized, block.modules()))
    return torch.is_grad_enabled() and plain and not is_listened_to(block.modules())


def _block(block: Block, rows: Tensor, attn_mask: str | None, first_only: bool) -> Tensor:
    keys = block.ln_1(rows)
    queries = keys[:, :1] if first_only else keys
    found = block.attn(queries, keys, keys, need_weights=False, attn_mask=attn_mask)[0]
    rows = (rows[:, :1] if first_only else rows) + block.ls_1(found)
    return rows + block.ls_2(block.mlp(block.ln_2(rows)))


@cache
def _compiled() -> Callable[..., Tensor]:
    """Compiled when it is called first, once for all blocks of one form: regional compilation.

    Made when it is asked for: torch takes a second to import its compiler.
    """
    return torch.compile(_block, dynamic=False)


class ImageTower(VisionTransformer):  # type: ignore[misc]
    """open_clip's image transformer that pools its first token."""

    def forward(self, x: Tensor) -> Tensor:
        """Features [b, d] of images [b, 3, h, w]."""
        is_plain = _pools_first(self) and not is_listened_to(self.modules())
        if is_counting() or self.transformer.grad_checkpointing or not is_plain:
            return super().forward(x)
        *blocks, last = self.transformer.resblocks
        rows = self._embeds(x)
        for block in blocks:
            rows = block(rows)
        pooled, _ = self._pool(last(rows, first_only=True))
        return pooled if self.proj is None else pooled @ self.proj

    def _embeds(self, x: Tensor) -> Tensor:
        if is_counting() or is_listened_to(self.conv1.modules()) or not _are_side_by_side(self, x):
            return super()._embeds(x)
        patches = F.linear(_patches(x, self.patch_size), self.conv1.weight.flatten(1))
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        rows = torch.cat([first, patches], dim=1) + self.positional_embedding.to(patches.dtype)
        return self.ln_pre(self.patch_dropout(rows))


def _are_side_by_side(tower: ImageTower, images: Tensor) -> bool:
    """Whether the tower's convolution is one product with each of the patches that images [b, 3, h, w] consist of."""
    convolution = tower.conv1
    size = tower.patch_size
    if not isinstance(convolution, nn.Conv2d) or type(convolution).forward is not nn.Conv2d.forward:
        return False
    steps = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation, convolution.groups)
    is_plain = steps == (size, size, (0, 0), (1, 1), 1) and convolution.bias is None
    return is_plain and images.shape[-2] % size[0] == 0 and images.shape[-1] % size[1] == 0


def _patches(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [b, 3, h, w] cut into patches of ``size``, [b, patches, 3 · height · width], as a convolution has them."""
    batch, colours, height, width = images.shape
    down, across = height // size[0], width // size[1]
    cut = images.view(batch, colours, down, size[0], across, size[1])
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, down * across, -1)


class Clip(CLIP):  # type: ignore[misc]
    """open_clip's CLIP whose text tower is causal and pools at the end token: it takes texts that are cut behind it."""

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Features [b, d] of texts [b, l]; l may be below the context, where only padding is missing."""
        if is_counting() or not may_cut(self):
            return super().encode_text(self.padded(text), normalize)
        kind = self.transformer.get_cast_dtype()
        rows = self.token_embedding(text).to(kind) + self.positional_embedding[: text.shape[1]].to(kind)
        return self.pooled(self.transformer(rows, attn_mask=CAUSAL), text.argmax(dim=-1), normalize)

    def pooled(self, rows: Tensor, ends: Tensor, normalize: bool) -> Tensor:
        """Features [b, d] of the last block's rows [b, l, w], which end at the tokens ``ends`` [b]."""
        rows = self.ln_final(rows)
        pooled = rows[torch.arange(len(rows), device=rows.device), ends]
        projection = self.text_projection
        if projection is not None:
            pooled = projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
        return F.normalize(pooled, dim=-1) if normalize else pooled

    def padded(self, text: Tensor) -> Tensor:
        """Texts [b, l] over the whole context, as the protocol has them."""
        return F.pad(text, (0, max(0, len(self.positional_embedding) - text.shape[1])))


def may_cut(network: nn.Module) -> bool:
    """Whether texts may be cut behind their end: no feature of the network depends on what follows, and nobody sees."""
    if not isinstance(network, Clip) or not _is_causal(network):
        return False
    layers = (network.transformer, network.token_embedding, network.ln_final)
    return not is_listened_to(chain([network], *(layer.modules() for layer in layers)))


def shortest(network: nn.Module, tokens: Tensor) -> int:
    """How many tokens of texts [n, context] have to be computed, a multiple of :data:`STEP`; all where it matters.

    The tokens are to lie in the host's memory.
    """
    last = int(tokens.argmax(dim=-1).max()) + 1 if len(tokens) else 1
    return next(length for length in lengths(network, tokens.shape[1]) if length >= last)


def lengths(network: nn.Module, context: int) -> list[int]:
    """What :func:`shortest` may return for texts [n, context], in order."""
    return [*range(STEP, context, STEP), context] if may_cut(network) else [context]


def quicken(network: nn.Module) -> None:
    """Have every part of a network compute so for which it is exact. Names, weights and outputs stay what they are."""
    for module in network.modules():
        if type(module) is ResidualAttentionBlock and _is_packed(module.attn):
            module.attn.__class__ = Attention
            module.__class__ = Block
    for module in network.modules():
        if type(module) is VisionTransformer and _pools_first(module):
            module.__class__ = ImageTower
    if type(network) is CLIP and _is_causal(network):
        network.__class__ = Clip


def _is_packed(attention: Any) -> bool:
    """Whether it is self-attention with one projection, rows first, and drops nothing."""
    return (
        type(attention) is nn.MultiheadAttention
        and attention.in_proj_weight is not None
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and attention.batch_first
        and not attention.add_zero_attn
        and not attention.dropout
    )


def _has_blocks(transformer: Any) -> bool:
    return (
        type(transformer) is Transformer and bool(transformer.resblocks) and all(map(_is_ours, transformer.resblocks))
    )


def _is_ours(block: nn.Module) -> bool:
    return isinstance(block, Block) and isinstance(block.attn, Attention) and not block.attn.dropout


def _pools_first(tower: VisionTransformer) -> bool:
    is_first = tower.attn_pool is None and tower.pool_type == "tok" and not tower.output_tokens
    return is_first and tower.transformer.batch_first and _has_blocks(tower.transformer)


def _is_causal(network: CLIP) -> bool:
    return network.text_pool_type == "argmax" and _has_blocks(network.transformer) and _hides_what_follows(network)


def _hides_what_follows(network: CLIP) -> bool:
    """Whether the mask is causal. It is read once, and again when it was changed: that waits for the device."""
    mask = network.attn_mask
    if mask is None or mask.is_meta:
        return mask is not None
    version = None if mask.is_inference() else mask._version
    known_version, hides = _read_masks.get(mask, (-1, False))
    if version is None or known_version != version:
        try:
            hides = torch.equal(mask, torch.full_like(mask, -torch.inf).triu_(1))
        except RuntimeError:  # a mask without values, of a rehearsal or within vmap
            return False
        _read_masks[mask] = (version, hides)
    return hides


_read_masks: MutableMapping[Tensor, tuple[int | None, bool]] = WeakTensorKeyDictionary()
"""Versions of masks that were read, and whether they are causal."""


def blocks_of(network: nn.Module) -> Iterator[Block]:
    """The blocks of both towers that are computed so."""
    return (module for module in network.modules() if isinstance(module, Block))


def compile_blocks(network: nn.Module) -> None:
    """Compile the residual blocks of a network when they are called first.

    Raises:
        FomoError: it has none, or this machine cannot compile.
    """
    blocks = list(blocks_of(network))
    if not blocks:
        raise FomoError(
            "runtime.compile=blocks: this model has no residual attention blocks of open_clip. "
            "Take runtime.compile=null."
        )
    _check_compiler(str(cast(Tensor, next(network.parameters())).device))
    torch._dynamo.config.cache_size_limit = NUM_GRAPHS
    for block in blocks:
        block.is_compiled = True


def _check_compiler(device: str) -> None:
    try:
        torch.compile(lambda number: number.sin() + 1)(torch.zeros(2, device=device))
    except Exception as error:  # whatever a compiler or its absence raises
        raise FomoError(
            f"runtime.compile=blocks: torch cannot compile here ({first_line(error)}). Install a C++ compiler (and "
            "Triton for a GPU), or take runtime.compile=null."
        ) from error
