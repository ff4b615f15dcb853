"""State as data that cannot run code: nested dicts, lists and numbers for JSON, tensors by name for safetensors.

What a plain JSON would lose is kept: the order of dicts, their whole-number keys, tuples, and of every tensor the order
of its dimensions in memory and whether it lies on the host. Sums and products may depend on them in the last bit.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from fomo.errors import FomoError
from fomo.system.parted import is_parted, whole

PLAIN = (bool, int, float, str, type(None))
WAITING = ""
"""Below a key that waits, whatever the key."""
DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}


def pack(tree: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """``tree`` as JSON has it; its tensors go to ``tensors``, not copied, their dimensions in the order of memory.

    Raises:
        FomoError: something that is neither plain, nor a container, nor a tensor.
    """
    if type(tree) in PLAIN:
        return tree
    if isinstance(tree, Tensor):
        return _packed(tree, tensors, path)
    if isinstance(tree, torch.dtype):
        return {"dtype": str(tree)}
    if isinstance(tree, Mapping) and all(type(key) in (str, int) for key in tree):
        return {"dict": [[key, pack(value, tensors, f"{path}/{key}")] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return {kind: [pack(value, tensors, f"{path}/{number}") for number, value in enumerate(tree)]}
    raise FomoError(f"a checkpoint cannot keep {path}, which is of type {type(tree).__name__}: no pickle is written.")


def _packed(tensor: Tensor, tensors: dict[str, Tensor], path: str) -> dict[str, Any]:
    on_host = tensor.device.type == "cpu"
    tensor = whole(tensor.detach()).cpu() if is_parted(tensor) else tensor.detach()  # one at a time is whole there
    name = f"{len(tensors):05d}{path}"
    strides = tensor.stride()
    order = sorted(range(tensor.ndim), key=lambda dim: -strides[dim])
    tensors[name] = tensor.permute(order)
    return {"tensor": name, "order": order, "host": on_host}


def unpack(node: Any, tensors: Mapping[str, Tensor], device: torch.device | str, waiting: Collection[str] = ()) -> Any:
    """The tree that :func:`pack` was given; tensors are copies, where they were: on the host or on ``device``.

    Args:
        node: What JSON has of it.
        tensors: By the names that it has of them.
        device: Where those go that were not on the host.
        waiting: Keys of the tree whose tensors stay on the host but for scalars: whoever loads them takes parts.
    """
    if type(node) in PLAIN:
        return node
    if "tensor" in node:
        tensor = tensors[node["tensor"]]
        on_host = node["host"] or (WAITING in waiting and tensor.ndim > 0)
        inverse = sorted(range(len(node["order"])), key=node["order"].__getitem__)
        return tensor.to("cpu" if on_host else device, copy=True).permute(inverse)
    if "dict" in node:
        return {
            key: unpack(value, tensors, device, (WAITING,) if key in waiting or WAITING in waiting else ())
            for key, value in node["dict"]
        }
    if "dtype" in node:
        return DTYPES[node["dtype"]]
    ((kind, values),) = node.items()
    return {"list": list, "tuple": tuple}[kind](unpack(value, tensors, device, waiting) for value in values)
