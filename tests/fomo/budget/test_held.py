"""What a part holds is found wherever it keeps it, and what is not its own is left out."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.budget.held import held
from fomo.method import Method

KIB = torch.ones(256)


class Slotted:
    """Has no dictionary."""

    __slots__ = ("kept",)

    def __init__(self, kept: Any) -> None:
        self.kept = kept


def enclosed(kept: Any) -> Callable[[], Any]:
    """A function that only its closure ties to the tensor."""
    return lambda: kept


def with_gradient() -> Tensor:
    """Twice the bytes."""
    tensor = torch.zeros(256, requires_grad=True)
    tensor.sum().backward()
    return tensor


def in_the_host() -> Tensor:
    """A tensor in the host's memory, and a view of it."""
    with fomo.host_memory():
        return torch.ones(256).add_(1)


NETWORK = nn.Linear(256, 1, bias=False)
TASK = fomo.Task(1, 1, 1, 0, update_batches=enclosed(KIB))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kept", "kib"),
    [
        (KIB, 1),
        ([KIB, KIB.view(16, 16)[0]], 1),
        ({"a": (KIB, torch.ones(256)), 3: {KIB}}, 2),
        (deque([KIB[:4]]), 1),
        (Slotted([KIB]), 1),
        (partial(torch.add, KIB, other=torch.ones(512)), 3),
        (enclosed(KIB), 1),
        (enclosed([KIB]).__call__, 1),
        (with_gradient(), 2),
        (nn.Linear(512, 1, bias=False), 2),
        (fomo.Batch(torch.ones(1, 3, 8, 8), torch.ones(1, 8, dtype=torch.long), (1, 0, 0)), 0.84375),
        (NETWORK, 0),
        (list(NETWORK.parameters()), 0),
        (in_the_host(), 0),
        (TASK, 0),
        (torch, 0),
        (3, 0),
    ],
)
def test_what_is_reached_is_counted_once(kept: Any, kib: float) -> None:
    part = Method()
    part.kept = kept  # type: ignore[attr-defined]
    assert held({"part": part}, NETWORK) == {"the network": 1024, "part": 1024 * kib}


def test_host_memory_is_left_after_the_block() -> None:
    with fomo.host_memory():
        given = KIB.add_(0)
    part = Method()
    part.kept = [given, torch.ones(256)]  # type: ignore[attr-defined]
    assert held({"part": part}, NETWORK)["part"] == 2048, "what was there before the block is not moved by it"
