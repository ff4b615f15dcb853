"""What the parts of a method hold on the device: the tensors that can be reached from their attributes.

The same is asked in the rehearsal and in the run, on any device: what a part holds beyond its plan is found without
the device's help. Tensors in the host's memory (``fomo.host_memory``) are left out.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import BuiltinMethodType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from fomo.batch import Batch, Features
from fomo.budget.memory import is_on_host
from fomo.method import Method

OWN = __name__.partition(".")[0]
NETWORK = "the network"


def held(parts: Mapping[str, Method], network: nn.Module) -> dict[str, int]:
    """Bytes on the network's device that the network has, and that each part holds beside it, by name."""
    own = [*network.parameters(), *network.buffers()]
    device = next(iter(own)).device.type
    excluded = dict(_storages([*own, *(each.grad for each in own if each.grad is not None)], device))
    found = {NETWORK: sum(dict(_storages(own, device)).values())}
    for name, part in parts.items():
        storages = dict(_storages(reachable(part), device))
        found[name] = sum(num_bytes for storage, num_bytes in storages.items() if storage not in excluded)
    return found


def _storages(tensors: Iterable[Tensor], device: str) -> Iterator[tuple[int, int]]:
    """Identity and bytes of the storages that lie on a kind of device; views share one."""
    for tensor in tensors:
        if tensor.device.type == device and tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            if not is_on_host(storage):
                yield storage._cdata, storage.nbytes()


def reachable(part: object) -> Iterator[Tensor]:
    """The tensors that a part refers to: through containers, objects, modules, functions and what those enclose.

    Objects of the benchmark are passed over, but for batches and parts: a part may keep its task, not what serves it.
    """
    seen: dict[int, object] = {}  # holds what it has seen, so that no identity comes again
    pending = [part]
    while pending:
        found = pending.pop()
        if id(found) not in seen:
            seen[id(found)] = found
            if isinstance(found, Tensor):
                yield found
            pending += _references(found)


def _references(found: Any) -> Iterable[Any]:
    """What an object refers to."""
    if isinstance(found, Tensor):
        return [found.grad] if found.is_leaf and found.grad is not None else []
    if isinstance(found, dict):
        return [*dict.keys(found), *dict.values(found)]
    if isinstance(found, (list, tuple, set, frozenset, deque)):
        return found
    if isinstance(found, FunctionType):
        return [cell.cell_contents for cell in found.__closure__ or () if _is_filled(cell)] + [found.__defaults__]
    if isinstance(found, (MethodType, BuiltinMethodType, MethodWrapperType)):
        return [found.__self__, getattr(found, "__func__", None)]
    if isinstance(found, partial):
        return [found.func, found.args, found.keywords]
    return [] if _is_passed_over(found) else _attributes(found)


def _is_passed_over(found: object) -> bool:
    if isinstance(found, (Batch, Features, Method, nn.Module)):
        return False
    return isinstance(found, (type, ModuleType)) or type(found).__module__.partition(".")[0] == OWN


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _attributes(found: object) -> list[Any]:
    slots = (name for kind in type(found).__mro__ for name in getattr(kind, "__slots__", ()))
    return [*getattr(found, "__dict__", {}).values(), *(getattr(found, name, None) for name in slots)]
