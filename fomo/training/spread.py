"""How the ranks of a run take a step together: torch's DistributedDataParallel around the whole loss. The other way is
:mod:`fomo.training.fully_sharded`.

Every rank encodes its rows, gathers the features of all, and computes the whole loss; the gradients of the ranks are
averaged while the backward pass still goes on. What is wrapped is the loss and not the network, so that a gradient may
come by any way: through features, from a penalty on the weights, through rows that are encoded again.
"""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.parallel import DistributedDataParallel

from fomo.batch import Batch
from fomo.system.ranks import world


class Loss(nn.Module):
    """The loss of a batch as a module over the network, whose gradients DDP averages."""

    def __init__(self, network: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network = network
        self._loss = loss
        self.idle = nn.Parameter(torch.zeros(1, device=next(network.parameters()).device))
        """Reached by no loss: DDP, which looks for such, warns where it finds none."""

    def forward(self, *arguments: Any) -> Tensor:
        """The loss, a tensor without dimensions."""
        return self._loss(*arguments)


class Spread:
    """Has the loss of a network computed by all ranks; on one rank by nobody else. Each of them has all weights."""

    stepped: nn.Module | None = None
    """What stands for the network while a task's steps are taken."""
    waiting: tuple[str, ...] = ()
    """What of a kept state has no room on the device as a whole."""

    def __init__(self) -> None:
        self._trained: list[nn.Parameter] = []
        self._module: nn.Module | None = None

    def open(self, network: nn.Module) -> None:
        """Be ready for the steps of a task on ``network``."""

    def close(self, network: nn.Module) -> None:
        """Bring what the steps have made into ``network``."""

    def arithmetic(self) -> AbstractContextManager[None]:
        """While open, a step may be computed."""
        return nullcontext()

    def most_rows(self, batch: Batch) -> int:
        """How many rows this rank encodes of a batch; where all have to encode alike, how many one does at most."""
        return len(batch.images)

    def pieces(self, size: int, batch: Batch) -> list[int]:
        """The sizes of pieces of about ``size`` in which all ranks can encode their rows of a batch, each as many."""
        raise NotImplementedError

    def loss(self, network: nn.Module, loss: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """``loss(*arguments)``, whose gradients at what is trained of ``network`` are then the means over the ranks."""
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if world().size == 1 or not trained or isinstance(trained[0], FakeTensor):
            return loss(*arguments)
        same = len(trained) == len(self._trained) and all(map(_is, trained, self._trained))
        if self._module is None or not same:
            self._module = None  # its hooks go first
            self._trained = trained
            self._module = _wrapped(Loss(network, loss))
        return self._module(*arguments)


def _wrapped(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch gives the argument another name in time
        return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)


def _is(one: object, other: object) -> bool:
    return one is other
