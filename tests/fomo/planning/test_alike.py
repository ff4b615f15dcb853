"""Calls that cost alike: two are rehearsed, and what is charged and held is what all of them do."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import Tensor

import fomo
from fomo.budget.flops import FlopMeter, Flops
from fomo.budget.memory import BLOCK, PeakMemory
from fomo.method import called_each_time
from fomo.planning.alike import AlikeCalls

SIDE = 32


class Work:
    """A product [n, n] that needs two more of its size meanwhile, and one that is kept from the first call on."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.kept: Tensor | None = None

    def __call__(self, matrix: Tensor, times: float = 1.0) -> tuple[Tensor, None, Tensor]:
        if self.kept is None:
            self.kept = matrix @ matrix
        self.num_calls += 1
        doubled = matrix + matrix
        product = doubled @ doubled
        return product * times, None, product.sum(0).expand(SIDE, SIDE)


def growing(function: Callable[[Tensor], tuple[Tensor, None, Tensor]], num_calls: int) -> tuple[Flops, int, int, int]:
    """Call it with a result that is kept each time; FLOPs, bytes at the end, at the peak, and since the first call."""
    meter, kept = FlopMeter(), []
    with PeakMemory() as memory:
        called = AlikeCalls(function, lambda: meter, memory) if isinstance(function, Work) else function
        with meter("hook"):
            matrix = torch.ones(SIDE, SIDE)
            kept.append(called(matrix))
            memory.recent = memory.live
            for _ in range(num_calls - 1):
                kept.append(called(matrix))
                matrix = torch.cat([each[0] for each in kept])[-SIDE:] @ kept[0][0]
        return meter.phases["hook"], memory.live, memory.peak, memory.recent


@pytest.mark.parametrize("num_calls", [1, 2, 3, 9])
def test_later_calls_cost_and_hold_what_they_do_where_each_is_made(num_calls: int) -> None:
    few = Work()
    assert growing(few, num_calls) == growing(called_each_time(partial(Work())), num_calls)
    assert few.num_calls == min(2, num_calls)


def test_a_later_call_returns_what_has_the_form_of_the_second() -> None:
    meter = FlopMeter()
    called = AlikeCalls(Work(), lambda: meter, PeakMemory())
    given = torch.ones(SIDE, SIDE, dtype=torch.float64)
    with meter("hook"):
        *_, second, third = (called(given, times=2.0) for _ in range(3))
    assert second[1] is None and third[1] is None
    for one, other in ((second[0], third[0]), (second[2], third[2])):
        assert (one.shape, one.stride(), one.dtype) == (other.shape, other.stride(), other.dtype)
    assert third[2].untyped_storage().nbytes() == SIDE * 8 < BLOCK


def test_a_result_with_a_graph_is_refused() -> None:
    called = AlikeCalls(torch.square, FlopMeter, PeakMemory())
    with pytest.raises(fomo.FomoError, match=re.escape("or call it without task.alike")):
        called(torch.ones(2, requires_grad=True))


def test_outside_of_a_rehearsal_each_call_is_made() -> None:
    work = Work()
    called = fomo.Task(1, 1, 1, 0, autocast=nullcontext).alike(work)
    for _ in range(4):
        called(torch.ones(SIDE, SIDE))
    assert work.num_calls == 4
