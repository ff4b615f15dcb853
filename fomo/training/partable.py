"""Whether a method can take steps with parted weights (``runtime.strategy=fsdp``), found before the first one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fomo.errors import FomoError
from fomo.method import HOOKS_IN_STEP, Method
from fomo.system.parted import mesh_of_all, whole
from fomo.system.ranks import world
from fomo.system.text import first_line
from fomo.training.fully_sharded import WAY_OUT, FullySharded, mixed_arithmetic
from fomo.training.spread import Spread
from fomo.training.step import MakeOptimizer

TOLERANCE = 1e-3
"""By what share of an update that of parted weights may differ: sums are taken in another order."""
STEPS = 2
"""Of an optimizer; the second meets the states of the first."""


def check_partable(spread: Spread, parts: Mapping[str, Method]) -> None:
    """Refuse to part weights in one process, or under hooks of steps that do not say that they allow for it.

    Raises:
        FomoError: a part, or that there is one process.
    """
    if not isinstance(spread, FullySharded):
        return
    if world().size == 1:
        raise FomoError(
            "runtime.strategy=fsdp: weights are parted among several processes, and this is one. Start it as "
            f"torchrun --nproc-per-node=N -m fomo run …. {WAY_OUT}"
        )
    for name, part in parts.items():
        if part.only_whole:
            raise FomoError(
                f"runtime.strategy=fsdp: {name} ({type(part).__qualname__}) needs whole weights while steps are taken "
                f"(only_whole in the class). {WAY_OUT}"
            )
        own = [hook for hook in sorted(HOOKS_IN_STEP) if getattr(type(part), hook) is not getattr(Method, hook)]
        if own and not part.parted_weights:
            raise FomoError(
                f"runtime.strategy=fsdp: {name} ({type(part).__qualname__}) has {own[0]}, which is called with weights "
                "of which each process holds a part, and does not say that it is right with them (parted_weights in "
                f"the class). {WAY_OUT}"
            )


def check_optimizer(spread: Spread, make: MakeOptimizer, network: nn.Module) -> None:
    """Refuse an optimizer that moves parted weights otherwise than whole ones. It is tried on one of each rank.

    Args:
        spread: How steps are taken; weights that are not parted need no trial.
        make: Makes the optimizer.
        network: Whose weights they are; not changed.

    Raises:
        FomoError: it fails, or moves them otherwise.
    """
    if not isinstance(spread, FullySharded) or world().size == 1:
        return
    tried = _one_of_each_rank(network)
    expected = _moved(make, tried)
    try:
        with mixed_arithmetic():
            found = _moved(make, {name: _parted(value) for name, value in tried.items()})
    except Exception as error:  # whatever torch or an optimizer's code raises
        raise FomoError(
            f"runtime.strategy=fsdp: the optimizer cannot move weights of which each process holds a part "
            f"({type(error).__name__}: {first_line(error)}). {WAY_OUT}"
        ) from error
    for name, value in found.items():
        distance = (whole(value) - expected[name]).norm()
        if not distance <= TOLERANCE * (expected[name] - torch.atleast_1d(tried[name])).norm():
            raise FomoError(f"runtime.strategy=fsdp: the optimizer moves '{name}' otherwise in parts. {WAY_OUT}")


def _one_of_each_rank(network: nn.Module) -> dict[str, Tensor]:
    """Of the tensors with as many dimensions the one whose shorter side is the longest, by name."""
    found: dict[int, tuple[int, str, Tensor]] = {}
    for name, parameter in network.named_parameters():
        side = min(len(torch.atleast_1d(parameter)), parameter.shape[1:].numel())
        if parameter.ndim not in found or side > found[parameter.ndim][0]:
            found[parameter.ndim] = (side, name, parameter.detach())
    return {name: value for _, name, value in found.values()}


def _moved(make: MakeOptimizer, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values after some steps along themselves."""
    parameters = {name: nn.Parameter(torch.atleast_1d(value).clone()) for name, value in values.items()}
    optimizer = make(list(parameters.items()))
    for _ in range(STEPS):
        for parameter in parameters.values():
            parameter.grad = parameter.detach().sin()
        optimizer.step()
    return {name: parameter.detach() for name, parameter in parameters.items()}


def _parted(value: Tensor) -> Tensor:
    from torch.distributed.tensor import Shard, distribute_tensor

    return distribute_tensor(torch.atleast_1d(value), mesh_of_all(value.device.type), [Shard(0)])
