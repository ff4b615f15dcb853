"""E4M3, numbers of eight bits, four of them exponent, three mantissa (Micikevicius et al. 2022, arXiv 2209.05433).

E4M3 has no infinity and reaches from 2⁻⁹ to 448. Codes are kept as ``uint8``, which files, norms and comparisons take;
torch rounds to them, to the nearest, ties to even; what is beyond 448 is taken as 448.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import fomo

LARGEST = 448.0
"""The largest number of E4M3."""


def check_there(device: torch.device, setting: str, way_out: str) -> None:
    """Refuse a device on which torch has no E4M3.

    Args:
        device: Where the numbers would be.
        setting: What asks for them, as it is typed.
        way_out: What to type in its place.

    Raises:
        FomoError: it has none.
    """
    try:
        encode(torch.zeros(1, device=device))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise fomo.FomoError(f"{setting}: torch has no float8_e4m3fn on {device} ({reason}). {way_out}") from error


def encode(values: Tensor) -> Tensor:
    """The codes, uint8, of the numbers of E4M3 that are nearest to ``values``, of any shape."""
    return values.clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn).view(torch.uint8)


def decode(codes: Tensor, kind: torch.dtype = torch.float32) -> Tensor:
    """The numbers that uint8 ``codes`` stand for."""
    return codes.view(torch.float8_e4m3fn).to(kind)


def in_groups(values: Tensor, size: int) -> Tensor:
    """The entries of ``values`` [any], ``size`` in a row, the last row filled up with zeros: [rows, size]."""
    flat = values.reshape(-1)
    return F.pad(flat, (0, -flat.numel() % size)).view(-1, size)
