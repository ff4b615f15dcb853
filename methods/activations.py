"""Activations that the backward pass needs, kept in eight bits (COAT, Xi et al. 2024, arXiv 2410.19313, section 5).

Of every 16 entries of a row: s = max|x|/448 in bf16, kept E4M3(x/s), back q·s; 1.125 bytes an entry in place of 2 or 4.

Differs: the paper changes layers (inputs of linear ones by one scale a tensor, all else by groups of 16), and has
kernels of its own; here it is one rule for whatever torch keeps, by hooks on saved tensors, so that there is memory to
gain and time to lose. Products are computed in the precision of the run, from activations that are still there; what
the backward pass reads is rounded. Kept as they are: parameters and casts of them, what has no gradient (inputs,
statistics of norms and of attention, integers), rows that are no multiple of 16, and the loss outside of the towers.

A tensor that two operations keep is packed once. Groups lie within rows, so that a batch in pieces, or on several
processes, is rounded as the whole one is.
"""

import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakIdKeyDictionary

import fomo
from methods.fp8 import LARGEST, check_there, decode, encode
from methods.lora import Adapters

GROUP = 16
"""Entries that share a scale."""
VIEWS = ("TBackward", "TransposeBackward", "ViewBackward", "PermuteBackward", "ToCopyBackward", "SliceBackward")
"""What stands between a parameter and what is cast or turned from it; the beginnings of autograd's names."""
WAY_OUT = "Leave activations=fp8 out."


def quantised(values: Tensor) -> tuple[Tensor, Tensor]:
    """The codes of ``values`` [..., n], uint8, and the scales in bf16 of their groups, [..., n/16]."""
    rows = values.unflatten(-1, (-1, GROUP))
    scale = (rows.abs().amax(-1) / LARGEST).bfloat16()
    divisor = scale.float().clamp_min(torch.finfo(torch.float32).tiny)[..., None]
    return encode((rows / divisor).flatten(-2)), scale


def restored(codes: Tensor, scale: Tensor, kind: torch.dtype) -> Tensor:
    """The values, of a floating type, that were quantised."""
    rows = decode(codes).unflatten(-1, (-1, GROUP)) * scale.float()[..., None]
    return rows.flatten(-2).to(kind)


class Packed:
    """A tensor in eight bits."""

    def __init__(self, values: Tensor) -> None:
        self.codes, self.scale = quantised(values.detach())
        self.kind = values.dtype


class Kept(NamedTuple):
    """What autograd keeps in place of a tensor: it packed, and its shape."""

    packed: Packed
    shape: torch.Size


def is_activation(tensor: Tensor) -> bool:
    """Whether a tensor that autograd keeps has a gradient, rows of whole groups, and comes from no parameter alone."""
    if not tensor.requires_grad or not tensor.is_floating_point() or tensor.ndim < 2 or tensor.shape[-1] % GROUP:
        return False
    node: Any = tensor.grad_fn
    while node is not None and node.name().startswith(VIEWS) and node.next_functions:
        node = node.next_functions[0][0]
    return node is not None and not hasattr(node, "variable")  # which is what collects a parameter's gradient


class _Saved:
    """Packs what is kept of one forward pass or several, each tensor once."""

    def __init__(self) -> None:
        self._known = WeakIdKeyDictionary()

    def pack(self, tensor: Tensor) -> Tensor | Kept:
        if not is_activation(tensor):
            return tensor
        flat = tensor.is_contiguous()
        layout = (tensor.shape[-1] % GROUP, tensor.numel()) if flat else (tensor.shape, tensor.stride())
        key = (tensor._version, tensor.storage_offset(), tensor.dtype, layout)
        known = self._known.setdefault(tensor.untyped_storage(), {})
        packed = known[key]() if key in known else None
        if packed is None:
            packed = Packed(tensor.reshape(-1, tensor.shape[-1]) if flat else tensor)
            known[key] = weakref.ref(packed)
        return Kept(packed, tensor.shape)

    @staticmethod
    def unpack(kept: Tensor | Kept) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        return restored(kept.packed.codes, kept.packed.scale, kept.packed.kind).view(kept.shape)


class FP8Activations(fomo.Method):
    """Keeps the activations of both towers in eight bits while steps are taken.

    Raises:
        FomoError: a device without E4M3, adapters, or activations that are computed again or in compiled blocks, which
            would be others than these.
    """

    only_whole = True

    def __init__(self) -> None:
        self._saved = _Saved()
        self._open: list[AbstractContextManager[Any]] = []
        self._handles: list[RemovableHandle] = []

    def beside(self, parts: Sequence[fomo.Method]) -> None:
        """Refuse adapters, whose folded weights autograd keeps like activations."""
        if any(isinstance(part, Adapters) for part in parts):
            raise fomo.FomoError(f"activations=fp8: adapted weights would be rounded like activations. {WAY_OUT}")

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Refuse what would make other activations of the same settings."""
        check_there(next(network.parameters()).device, "activations=fp8", WAY_OUT)
        for module in network.modules():
            if getattr(module, "grad_checkpointing", False):
                raise fomo.FomoError(
                    "activations=fp8 with runtime.grad_checkpointing=true: what is computed again is not rounded, so "
                    f"that the run would learn something else. Leave one of the two out. {WAY_OUT}"
                )
            if getattr(module, "is_compiled", False):
                raise fomo.FomoError(
                    "activations=fp8 with runtime.compile=blocks: compiled blocks keep other activations, so that the "
                    f"run would learn something else. Take runtime.compile=null. {WAY_OUT}"
                )

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Listen to the network from here on."""
        self._leave()
        self._handles = [
            network.register_forward_pre_hook(self._enter),
            network.register_forward_hook(self._exit, always_call=True),
        ]

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Listen no more."""
        self._leave()

    def _leave(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _enter(self, network: nn.Module, arguments: Any) -> None:
        hooks: AbstractContextManager[Any] = saved_tensors_hooks(self._saved.pack, self._saved.unpack)
        hooks.__enter__()
        self._open.append(hooks)

    def _exit(self, network: nn.Module, arguments: Any, result: Any) -> None:
        self._open.pop().__exit__(None, None, None)
