"""How large the entries of tensors are, which tells whether all of them are finite."""

from collections.abc import Iterable
from functools import reduce

import torch
from torch import Tensor, nn

from fomo.system.parted import is_parted, own
from fomo.system.shared_rows import largest_scalar


def largest(tensors: Iterable[Tensor]) -> Tensor:
    """The largest magnitude of all entries, a tensor without dimensions: NaN or infinite if one of them is.

    Tensors of integers, and empty ones, count as finite. Of those in parts, all ranks have to ask together.
    """
    every = list(tensors)
    parted = next((each for each in every if is_parted(each)), None)
    found = _largest(map(own, every))
    return found if parted is None else largest_scalar(found.to(parted.device, torch.float64))


def _largest(tensors: Iterable[Tensor]) -> Tensor:
    floats = [each.detach() for each in tensors if each.is_floating_point() and each.numel()]
    if not floats or any(each.device.type != "cpu" for each in floats):
        return nn.utils.get_total_norm(floats, norm_type=float("inf"))  # a few kernels for all
    kind = reduce(torch.promote_types, {each.dtype for each in floats})
    ends = [end.to(kind) for each in floats for end in torch.aminmax(each)]  # on a CPU ten times as fast as that norm
    return torch.stack(ends).abs_().max()
