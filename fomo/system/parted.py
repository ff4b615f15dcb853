"""Tensors of which each rank of a run holds a part: torch's DTensors, while a task's steps are taken under
``runtime.strategy=fsdp``. Of any other tensor each rank has the whole, and everything here is then the identity.

A part is what FSDP2 has it be: rows r·k to (r + 1)·k for rank r of N, k being the rows over N, rounded up.
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fomo.system.ranks import World, world


def mesh_of_all(device: str) -> Any:
    """All ranks of the run in a row, as torch wants them for parted tensors on a kind of device: ``cpu`` or ``cuda``.

    Of the group that is there, since a mesh of its own would take another GPU than the rank has.
    """
    from torch.distributed.device_mesh import DeviceMesh

    group = dist.group.WORLD
    assert group is not None
    return DeviceMesh.from_group(group, device)


def is_parted(tensor: Tensor) -> bool:
    """Whether each rank holds a part of ``tensor``. Asking imports nothing: who has parted one has done so."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on every rank, all of which have to ask for it; a gradient goes through."""
    found: Tensor = tensor.full_tensor() if is_parted(tensor) else tensor  # type: ignore[attr-defined]
    return found


def total(terms: Sequence[Tensor]) -> Tensor:
    """The sum of tensors without dimensions, as a plain tensor on every rank; a gradient goes through."""
    parted = [term for term in terms if is_parted(term)]
    plain = [term for term in terms if not is_parted(term)] + ([whole(torch.stack(parted).sum())] if parted else [])
    return torch.stack(plain).sum()


def own(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor, which may have no rows; without a gradient."""
    part: Tensor = tensor.detach().to_local() if is_parted(tensor) else tensor  # type: ignore[attr-defined]
    return part


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """The whole tensor ``value`` in parts as ``like`` is, on its device; one of another shape is left whole there.

    One entry is as good with a dimension as without.
    """
    value = value.view(like.shape) if value.numel() == like.numel() == 1 else value
    if is_parted(value) or not is_parted(like):
        return value
    if value.shape != like.shape:
        return value.to(like.device) if value.ndim else value
    parted = torch.empty_like(like, dtype=value.dtype)
    own(parted).copy_(value[_rows(len(value), world())])
    return parted


def _rows(num_rows: int, here: World) -> slice:
    size = -(-num_rows // here.size)
    return slice(here.rank * size, (here.rank + 1) * size)
