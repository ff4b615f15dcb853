"""Peak memory without a GPU: every allocation on fake tensors is added up.

Mixed precision is that of CUDA: CPU autocast, with the one operation on which the two policies differ for a CLIP
model, layer normalisation, taken in fp32. Attention is laid out as CUDA's kernels write it. Workspaces inside kernels,
the CUDA context and the allocator's cache are not seen. The published rows (Roth et al. 2024, ViT-B/16) are the
driver's view: docs/budget.md lists by how much the ratios to full fine-tuning differ, and what remains.
"""

import copy
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from fomo.errors import FomoError

BLOCK = 512
"""Bytes that CUDA's allocator rounds every tensor up to."""


class PeakMemory(TorchDispatchMode):
    """While active, follows the bytes of all storages that operations make; ``peak`` is the most that lived at once.

    ``recent`` is the most since it was last set, which is for whoever wants to know of a stretch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = self.recent = 0
        self._seen = WeakIdKeyDictionary()

    def add(self, tensor: Tensor) -> None:
        """Follow a tensor; views and in-place results share a storage that is already known."""
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        num_bytes = 0 if _on_host else -(-storage.nbytes() // BLOCK) * BLOCK
        self._seen[storage] = num_bytes
        self.take(num_bytes)
        weakref.finalize(storage, self.take, -num_bytes)

    def take(self, num_bytes: int) -> None:
        """Add bytes that live from here on, or, below 0, that live no more."""
        self.live += num_bytes
        self.recent = max(self.recent, self.live)
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and follow its results."""
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self.add(each)
        return result


@contextmanager
def cuda_kernels() -> Iterator[None]:
    """Where memory differs on CUDA from a CPU: :func:`_norm_in_full_precision`, :func:`_attention_as_written_on_cuda`.

    The functions are replaced while this is open: a mode would not reach what a backward pass computes again.
    """
    norm, attention = F.layer_norm, F.scaled_dot_product_attention
    F.layer_norm = partial(_norm_in_full_precision, norm)
    F.scaled_dot_product_attention = partial(_attention_as_written_on_cuda, attention)
    try:
        yield
    finally:
        F.layer_norm, F.scaled_dot_product_attention = norm, attention


def _norm_in_full_precision(norm: Callable[..., Tensor], features: Tensor, *rest: Any, **more: Any) -> Tensor:
    """CUDA's autocast has layer normalisation read and write fp32; the CPU's does not."""
    if not torch.is_autocast_enabled("cpu"):
        return norm(features, *rest, **more)
    with torch.autocast("cpu", enabled=False):
        return norm(features.float(), *rest, **more)


def _attention_as_written_on_cuda(
    attention: Callable[..., Tensor],
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    attn_mask: Tensor | None = None,
    *rest: Any,
    **more: Any,
) -> Tensor:
    """Attention whose result, [b, heads, n, d], lies as CUDA's fused kernels leave it.

    FlashAttention writes in the layout of its input, as the CPU's kernel does. What takes a mask, or fp32, is the
    memory-efficient kernel, which writes [b, n, heads, d]; ``nn.MultiheadAttention`` wants n first and copies that.
    """
    found = attention(queries, keys, values, attn_mask, *rest, **more)
    if attn_mask is None and queries.dtype in (torch.float16, torch.bfloat16):
        return found
    return found.transpose(1, 2).contiguous().transpose(1, 2)


_on_host = False
_host_storages = WeakIdKeyDictionary()


def is_on_host(storage: torch.UntypedStorage) -> bool:
    """Whether a storage was made under :func:`host_memory`."""
    return storage in _host_storages


class _OnHost(TorchDispatchMode):
    """While active, remembers the storages that operations make, so that they are known on a CPU too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and remember its results; what shares a storage with an argument stays what it was."""
        result = func(*args, **(kwargs or {}))
        given = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        for each in tree_leaves(result):
            if isinstance(each, Tensor) and each.untyped_storage()._cdata not in given:
                _host_storages[each.untyped_storage()] = None
        return result


@contextmanager
def not_counted() -> Iterator[None]:
    """What is made inside takes no memory of the device."""
    global _on_host
    outer = _on_host
    _on_host = True
    try:
        yield
    finally:
        _on_host = outer


@contextmanager
def host_memory() -> Iterator[None]:
    """What is made inside is kept in the host's memory, and not counted as the device's.

    Move tensors off the device with ``tensor.to("cpu", copy=True)``; what no operation of torch makes (NumPy, files) is
    to be copied so too.

    Raises:
        FomoError: on a GPU, its memory has grown.
    """
    before = _allocated()
    with not_counted(), _OnHost():
        yield
    if _allocated() > before:
        raise FomoError(f"fomo.host_memory(): {_allocated() - before} bytes more lie on the GPU after it than before.")


def _allocated() -> int:
    return torch.cuda.memory_allocated() if torch.cuda.is_initialized() else 0


def allocator_peak() -> int | None:
    """Bytes that were allocated on the GPU at once since :func:`forget_allocator_peak`; ``None`` without one."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None


def forget_allocator_peak() -> None:
    """Begin anew with what is allocated now."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def mixed_precision() -> AbstractContextManager[None]:
    """bf16 where CUDA's autocast has it; inside of :func:`cuda_kernels`, which backward passes need too."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def fake_copy(network: nn.Module, mode: FakeTensorMode) -> Any:
    """The same network with fake tensors on the CPU, which have shapes and no content; the given one is untouched."""
    memo: dict[int, Any] = {}
    with mode:
        for parameter in network.parameters():
            memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="cpu"), parameter.requires_grad)
        for buffer in network.buffers():
            memo[id(buffer)] = torch.empty_like(buffer, device="cpu")
    return copy.deepcopy(network, memo)
