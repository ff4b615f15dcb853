"""``runtime.strategy=fsdp``: each rank holds a part of weights, gradients and the optimizer's state (torch's FSDP2).

Only while the steps of a task are taken. What stands for the network then is a copy of its modules over parted weights,
block by block: a block's weights are whole while it computes, and its gradients are averaged and parted again while the
backward pass goes on. The network itself gives up its memory, and has the weights back when the task's steps are taken:
hooks outside of steps, evaluation and checkpoints see whole weights, as ever.

Hooks in steps see parameters and gradients that are DTensors, of which arithmetic is that of whole tensors; a parameter
without dimensions has one there, of one entry, since FSDP2 has no other.
"""

import copy
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from math import nan
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules.batchnorm import _BatchNorm

from fomo.batch import Batch
from fomo.errors import FomoError
from fomo.system.parted import mesh_of_all, whole
from fomo.system.ranks import world
from fomo.training.spread import Spread

WAY_OUT = "Take runtime.strategy=ddp."


class FullySharded(Spread):
    """Has the steps of a task taken with parted weights.

    Args:
        computed_in: What weights are cast to before they are gathered; ``None``: what they are in.
    """

    waiting = ("network", "optimizer")

    def __init__(self, computed_in: torch.dtype | None = None) -> None:
        super().__init__()
        self._computed_in = computed_in
        self._strides: dict[str, tuple[int, ...]] = {}

    def open(self, network: nn.Module) -> None:
        """Part the weights. The network keeps its parameters, which are without values from here on.

        Raises:
            FomoError: somebody listens to the network.
        """
        if world().size == 1 or any(isinstance(each, FakeTensor) for each in network.parameters()):
            return
        refuse_hooks(network)
        self.stepped = _parted(network, self._computed_in)
        for name, parameter in network.named_parameters():
            self._strides[name] = parameter.stride()
            parameter.grad = None
            parameter.data = parameter.new_full((), nan).expand(parameter.shape)

    def close(self, network: nn.Module) -> None:
        """Gather the weights."""
        if self.stepped is None:
            return
        parted = dict(self.stepped.named_parameters())
        self.stepped = None
        for name, parameter in network.named_parameters():
            found = whole(parted.pop(name).detach()).view(parameter.shape)
            strided = torch.empty_strided(found.shape, self._strides[name], dtype=found.dtype, device=found.device)
            parameter.data = strided.copy_(found)
        gc.collect()  # modules and their hooks refer to one another

    def arithmetic(self) -> AbstractContextManager[None]:
        """While open, optimizers and norms may take a plain tensor beside a parted one."""
        return super().arithmetic() if self.stepped is None else mixed_arithmetic()

    def most_rows(self, batch: Batch) -> int:
        """The most that a rank encodes: all have to gather a block's weights as often as one does."""
        return len(batch.images) if self.stepped is None else -(-batch.num_rows // world().size)

    def pieces(self, size: int, batch: Batch) -> list[int]:
        """As many pieces on all ranks: none is empty, so that one has a row more where ranks lack one."""
        number = min(-(-self.most_rows(batch) // size), batch.num_rows // world().size)
        return [len(range(start, len(batch.images), number)) for start in range(number)]

    def loss(self, network: nn.Module, loss: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """``loss(*arguments)``, whose gradients FSDP2 averages."""
        if self.stepped is None:
            return super().loss(network, loss, *arguments)
        self.stepped.reshard()  # type: ignore[operator]  # what a hook has gathered is of before the last update
        return loss(*arguments)


def mixed_arithmetic() -> AbstractContextManager[None]:
    """While open, a plain tensor beside a parted one is taken to be the same on every rank; not in a backward pass."""
    from torch.distributed.tensor.experimental import implicit_replication

    return implicit_replication()


def _parted(network: nn.Module, computed_in: torch.dtype | None) -> nn.Module:
    """A copy of a network's modules over parted weights; buffers are shared."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    found = copy.deepcopy(network, {**{id(each): each for each in network.buffers()}, **_as_fsdp_has_them(network)})
    device = next(network.parameters()).device.type
    settings: dict[str, Any] = {"mesh": mesh_of_all(device), "reshard_after_forward": True}
    for module in found.modules():
        if computed_in is not None and isinstance(module, _BatchNorm) and module.affine:
            fully_shard(module, **settings)  # it takes no weights in other types than its statistics
    if computed_in is not None:
        settings["mp_policy"] = MixedPrecisionPolicy(computed_in, torch.float32, cast_forward_inputs=False)
    for unit in (*units(found), found):
        fully_shard(unit, **settings)
    for parameter in found.parameters():
        if parameter.requires_grad:  # of one row, torch leaves the gradient of a penalty whole, which FSDP2 adds to
            parameter.register_hook(partial(_in_parts_as, parameter.placements))  # type: ignore[attr-defined]
    return found


def _in_parts_as(placements: Any, gradient: Any) -> Any:
    """A gradient that did not come through FSDP2, in the parts of its parameter."""
    return gradient.redistribute(placements=placements)


def _as_fsdp_has_them(network: nn.Module) -> dict[int, nn.Parameter]:
    """By identity, what stands for each parameter: with a dimension, and in the order of its dimensions in memory."""
    return {
        id(each): nn.Parameter(torch.atleast_1d(each.detach()).contiguous(), each.requires_grad)
        for each in network.parameters()
    }


def units(network: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at once: the outermost sequences' members, where all of a sequence are of one class."""
    for child in network.children():
        members = list(child.children())
        is_sequence = type(child) in (nn.ModuleList, nn.Sequential) and len(members) > 1
        if is_sequence and len({type(each) for each in members}) == 1:
            yield from (each for each in members if any(True for _ in each.parameters()))
        else:
            yield from units(child)


def refuse_hooks(network: nn.Module) -> None:
    """Refuse hooks, which would not be called, or with a part.

    Raises:
        FomoError: the first one; it is named.
    """
    found = [(f"parameter '{name}'", each._backward_hooks) for name, each in network.named_parameters()]
    for name, module in network.named_modules():
        kinds = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        found += [(f"module '{name}'" if name else "network", kind) for kind in kinds]
    for whose, hooks in found:
        for hook in (hooks or {}).values():
            raise FomoError(
                f"runtime.strategy=fsdp: the {whose} has a hook ({getattr(hook, '__qualname__', hook)}), which would "
                f"see parted weights. {WAY_OUT}"
            )
