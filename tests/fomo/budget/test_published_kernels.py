"""Which kernels the published rows were measured with, and how near ours would be with others: for comparison alone.

Plans take those of torch from 2.2 on (docs/budget.md says why). What is known of the reference: its FLOPs, counted by
torch's ``FlopCounterMode`` (with formulas for attention from torch 2.1 on), and its memory, read from the driver after
one step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fomo.budget import memory
from fomo.budget.flops import counted
from tests.fomo.budget import settings
from tests.fomo.budget.test_memory import GIB, PUBLISHED_FULL
from tests.fomo.budget.test_published_rows import ROWS

Kernel = Callable[..., Tensor]
_fused = F.scaled_dot_product_attention


def keeping_scores(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, *rest: Any) -> Tensor:
    """Attention whose fused kernel takes no mask: with one, scores and scaled copies are kept for the backward pass."""
    if mask is None:
        return _fused(queries, keys, values, mask, *rest)
    low = torch.get_autocast_dtype("cpu")
    with torch.autocast("cpu", enabled=False):
        factor = queries.shape[-1] ** -0.25
        scores = (queries.to(low) * factor) @ (keys.to(low) * factor).transpose(-2, -1) + mask.to(low)
        return scores.softmax(-1) @ values.to(low)


def batch_first(features: Tensor) -> Tensor:
    """[b, heads, n, d] laid out as [b, n, heads, d], of which ``nn.MultiheadAttention`` makes a copy with n first."""
    return features.transpose(1, 2).contiguous().transpose(1, 2)


def both_batch_first(*given: Any) -> Tensor:
    """torch 2.1 on a GPU: FlashAttention 1 writes batch first too."""
    return batch_first(_fused(*given))


@contextmanager
def attended_by(kernel: Kernel) -> Iterator[None]:
    """Plans take attention to be computed by another kernel, which writes as it is given here."""
    planned = memory._attention_as_written_on_cuda
    memory._attention_as_written_on_cuda = lambda _, *given, **more: kernel(*given, **more)
    try:
        yield
    finally:
        memory._attention_as_written_on_cuda = planned


def case(method: str) -> settings.Case:
    """A published row's; what EWC and SI keep is all there in the third and the second task."""
    tasks = {"ewc": 3, "si": 2}.get(method, 1)
    return settings.setting(*settings.PUBLISHED, f"method={method}", num_samples=[60] * tasks)


@cache
def peak(method: str, kernel: Kernel) -> int:
    """Bytes of a published row with that kernel."""
    with attended_by(kernel):
        return case(method).rehearse().peak_bytes


def first_step(method: str, kernel: Kernel) -> float:
    """GiB at the peak of the first step, when AdamW has no moments yet."""
    with attended_by(kernel):
        stateless = case(method).having(make_optimizer=lambda named: torch.optim.SGD([each for _, each in named]))
        return stateless.rehearse().peak_bytes / GIB


def test_the_published_flops_tell_that_no_kernel_kept_the_scores_of_the_text_tower() -> None:
    """A fused kernel computes them again: 10 b·n²·d a layer backward, where the products of kept ones are 8.

    With kept scores the row's memory would be met to 0.3 %, which is why they were suspected.
    """
    with attended_by(keeping_scores):
        found = case("locked_image").rehearse()
    step = found.tasks[-1].ordinary
    assert step is not None
    missing = ROWS["locked_image"].gflops - counted(step) / 1e9
    assert missing == pytest.approx(2 * 512 * 77**2 * 512 * 12 / 1e9, abs=1e-3)
    assert found.peak_bytes / peak("finetune", keeping_scores) == pytest.approx(0.2551, rel=0.004)


def test_the_masked_kernel_causes_a_copy_that_is_kept_where_the_map_behind_the_attention_is_trained() -> None:
    """On a CPU the kernel writes what ``nn.MultiheadAttention`` wants; the locked image row is missed by 10 % then."""
    copies = 12 * 512 * 77 * 512 * 2
    plans = {name: settings.cost(*settings.PUBLISHED, f"method={name}").peak_bytes for name in ("locked_image", "lora")}
    assert {name: plan - peak(name, _fused) for name, plan in plans.items()} == {"locked_image": copies, "lora": 0}
    without = peak("locked_image", _fused) / peak("finetune", _fused)
    assert without / ROWS["locked_image"].multiplier - 1 == pytest.approx(-0.101, abs=0.001)


@pytest.mark.parametrize(
    ("method", "missing"), [("locked_text", 2.13), ("locked_image", 2.11), ("lnfit", 2.24), ("lora", 2.08)]
)
def test_what_the_driver_shows_beyond_a_first_step_is_nearly_the_same_in_four_rows(method: str, missing: float) -> None:
    """With the kernels of torch 2.1. A row of its own: full fine-tuning."""
    assert ROWS[method].memory - first_step(method, both_batch_first) == pytest.approx(missing, abs=0.01)


def test_full_fine_tuning_shows_more_and_without_a_constant_those_kernels_do_not_meet_locked_image() -> None:
    ratio = peak("locked_image", both_batch_first) / peak("finetune", both_batch_first)
    assert ratio / ROWS["locked_image"].multiplier - 1 == pytest.approx(-0.105, abs=0.001)
    assert PUBLISHED_FULL - first_step("finetune", both_batch_first) == pytest.approx(2.82, abs=0.01)
