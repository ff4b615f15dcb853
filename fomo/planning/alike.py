"""What a hook does many times over, in a rehearsal: two calls are made, later ones cost and hold as the second."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from fomo.budget.flops import NOTHING, FlopMeter
from fomo.budget.memory import PeakMemory
from fomo.errors import FomoError


class AlikeCalls:
    """A function of which two calls are made; the first may prepare what later ones find.

    Args:
        function: Its calls cost alike, and return tensors of their own of the same shapes, without a graph.
        meter: Returns the meter of the phase at hand.
        memory: Follows what is allocated.
    """

    def __init__(self, function: Callable[..., Any], meter: Callable[[], FlopMeter], memory: PeakMemory) -> None:
        self._function = function
        self._meter = meter
        self._memory = memory
        self._num_made = 0
        self._flops = NOTHING
        self._num_bytes = 0
        self._result: Any = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the function returns, or tensors like those of its second call.

        Raises:
            FomoError: they have a graph, through which a backward pass could not be charged.
        """
        if self._num_made < 2:
            return self._made(*arguments, **named)
        self._meter().repeat(self._flops, 1)
        self._memory.take(self._num_bytes)
        self._memory.take(-self._num_bytes)
        return tree_map_only(partial, lambda make: make(), self._result)

    def _made(self, *arguments: Any, **named: Any) -> Any:
        """Make a call, and note what it costs, how many bytes more are alive at its peak, and what it returns."""
        meter, memory = self._meter(), self._memory
        flops, begun = meter.so_far(), memory.live
        highest, memory.recent = memory.recent, begun
        result = self._function(*arguments, **named)
        self._flops = meter.so_far().plus(flops, times=-1)
        self._num_bytes = memory.recent - begun
        memory.recent = max(memory.recent, highest)
        _check_no_graph(result)
        self._result = tree_map_only(Tensor, _maker, result)
        self._num_made += 1
        return result


def _maker(tensor: Tensor) -> Callable[[], Tensor]:
    """What makes a tensor of the same form."""
    return partial(torch.empty_strided, tensor.size(), tensor.stride(), dtype=tensor.dtype, device=tensor.device)


def _check_no_graph(result: Any) -> None:
    if any(isinstance(each, Tensor) and each.requires_grad for each in tree_leaves(result)):
        raise FomoError(
            "task.alike: the function returns tensors with a graph, and a backward pass through it would not be "
            "charged. Return what torch.autograd.grad finds, or detached tensors; or call it without task.alike."
        )
