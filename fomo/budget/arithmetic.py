"""Element-wise arithmetic of an optimizer step: not in the published FLOPs, not charged, reported as ``gflops_other``.

Stated formula: one FLOP per element and arithmetic operation; fused optimizers by the operations of their equations.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PER_ELEMENT = {"addcmul": 3, "addcdiv": 3, "lerp": 3}
FUSED = {"_fused_adamw": 16, "_fused_adam": 16, "_fused_sgd": 6, "_fused_adagrad": 7}
"""Adam: 2·decay, 3·first moment, 4·second moment, 2·bias corrections, root, ε, division, step 2."""


class Arithmetic(TorchDispatchMode):
    """While active, adds up the element-wise operations."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.removesuffix("_")
        if name in FUSED:
            self.flops += FUSED[name] * _num_elements(args[0])
        elif name.startswith("_foreach_") or torch.Tag.pointwise in func.tags:
            written = result if result is not None else args[0]
            self.flops += PER_ELEMENT.get(name.removeprefix("_foreach_"), 1) * _num_elements(written)
        return result


def _num_elements(tensors: Any) -> int:
    return sum(each.numel() for each in tree_leaves(tensors) if isinstance(each, Tensor))
