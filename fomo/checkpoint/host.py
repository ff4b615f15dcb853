"""Copies of tensors in one piece of the host's memory, which may be used again: fresh memory costs as much as a copy.

From a GPU they are copied to pinned memory, in the order of its work: what comes after waits for them, and the host
does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

ALIGNED = 64
"""Each copy begins at a multiple of so many bytes."""


@dataclass(frozen=True)
class HostCopies:
    """Copies by name, all of which lie in ``memory``; ``copied`` happens once they are there, ``None``: they are."""

    tensors: Mapping[str, Tensor]
    memory: Tensor
    copied: torch.cuda.Event | None

    def arrived(self) -> Mapping[str, Tensor]:
        """The copies, waited for."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.tensors


def num_bytes(tensors: Mapping[str, Tensor]) -> int:
    """What the copies of tensors take."""
    return sum(map(_room, tensors.values()))


def _room(tensor: Tensor) -> int:
    return -(-tensor.numel() * tensor.element_size() // ALIGNED) * ALIGNED


def host_memory(tensors: Mapping[str, Tensor]) -> Tensor:
    """Memory for the copies of tensors, pinned where one comes from a GPU and the system allows it, uint8 [bytes]."""
    size = num_bytes(tensors)
    if any(each.is_cuda for each in tensors.values()):
        try:
            return torch.empty(size, dtype=torch.uint8, pin_memory=True)
        except RuntimeError:  # a limit of the system: any memory will do, in more time
            pass
    return torch.empty(size, dtype=torch.uint8)


def host_copies(tensors: Mapping[str, Tensor], memory: Tensor) -> HostCopies:
    """Copy tensors to ``memory``, uint8 [:func:`num_bytes` or more]. Those of a GPU may come in later."""
    gpu = next((each.device for each in tensors.values() if each.is_cuda), None)
    is_pinned = gpu is not None and memory.is_pinned()
    copies: dict[str, Tensor] = {}
    start = 0
    for name, tensor in tensors.items():
        end = start + tensor.numel() * tensor.element_size()
        copies[name] = memory[start:end].view(tensor.dtype).view(tensor.shape)
        copies[name].copy_(tensor, non_blocking=is_pinned and tensor.is_cuda)
        start += _room(tensor)
    copied = torch.cuda.current_stream(gpu).record_event() if is_pinned else None
    return HostCopies(copies, memory, copied)
