"""The published budget rows (Roth et al. 2024, ViT-B/16, batch 512, on an A100), each with its own tolerance."""

from pathlib import Path
from typing import NamedTuple

import pytest

from fomo.budget import Budget
from fomo.budget.flops import counted
from fomo.budget.plan import Memory, plan
from tests.fomo.budget import settings
from tests.fomo.budget.test_memory import PUBLISHED_FULL
from tests.fomo.budget.test_plan import cost_of, task_cost


class Row(NamedTuple):
    """A published row; ``near`` is how far our ratio of memory may be from its."""

    gflops: float
    memory: float
    multiplier: float
    steps: int
    near: float = 0.05


ROWS = {
    "finetune": Row(63_394.7585, PUBLISHED_FULL, 1.0, 1420),
    "locked_text": Row(57_254.6183, 37.5761, 0.8064, 1949),
    "locked_image": Row(27_176.6698, 11.885, 0.2551, 12_982, near=0.08),  # context and cache weigh most in it
    "lnfit": Row(43_165.5968, 30.557, 0.6558, 3179),
    "lora": Row(54_479.2515, 40.545, 0.8702, 1898),
    "si": Row(63_394.7585, 46.652, 1.0013, 1418),
}


def full_bytes() -> int:
    """Our peak of full fine-tuning."""
    return settings.full_fine_tuning(*settings.PUBLISHED).peak_bytes


@pytest.mark.parametrize("method", ROWS)
def test_published_rows_and_how_far_from_their_memory_ours_is(method: str) -> None:
    """FLOPs to all printed digits, and the printed steps of 20 tasks from them and the printed multiplier."""
    row = ROWS[method]
    sizes = [60] * (2 if method == "si" else 1)  # its penalty is there from the second task on
    found = settings.cost(*settings.PUBLISHED, f"method={method}", num_samples=sizes)
    step = found.tasks[-1].ordinary
    assert step is not None
    assert counted(step) / 1e9 == pytest.approx(row.gflops, abs=1e-4)
    assert row.memory / PUBLISHED_FULL == pytest.approx(row.multiplier, abs=2e-4)
    assert found.peak_bytes / full_bytes() == pytest.approx(row.multiplier, rel=row.near)
    as_printed = Memory(round(row.multiplier * 10_000), 10_000)
    planned = plan(Budget(total_mafs=1.8e9, rounding="nearest"), cost_of(*[task_cost(counted(step))] * 20), as_printed)
    assert set(planned.steps) == {row.steps}


@pytest.mark.parametrize("method", [*ROWS, "ewc"])
def test_the_table_of_memory_in_the_docs(method: str) -> None:
    """Planned, published, and how far the ratios to full fine-tuning are apart."""
    name = {"finetune": "full fine-tuning", "lnfit": "LNFit", "lora": "LoRA, rank 4"}.get(
        method, method.replace("_", " ")
    )
    tasks = 3 if method in ("ewc", "si") else 1
    sizes = [60_000] * tasks if method == "ewc" else [60] * tasks
    planned = settings.cost(*settings.PUBLISHED, f"method={method}", num_samples=sizes).peak_bytes
    published, multiplier = (ROWS[method].memory, ROWS[method].multiplier) if method in ROWS else (47.207, 1.0132)
    apart = (
        f"{100 * (planned / full_bytes() / multiplier - 1):+.1f} %".replace("-", "−") if method != "finetune" else ""
    )
    row = f"| {name} | {planned / 2**30:.2f} | {published:.3f} | {apart} |".replace("|  |", "| |")
    assert row.lower() in (Path(__file__).parents[3] / "docs" / "budget.md").read_text(encoding="utf-8").lower()


def test_the_memory_of_ewc_from_its_second_task_on() -> None:
    """Its published FLOPs charge the Fisher pass at every step, which is charged here once a task, as it is done."""
    found = settings.cost(*settings.PUBLISHED, "method=ewc", num_samples=[60_000] * 3)
    assert found.peak_bytes / full_bytes() == pytest.approx(1.0132, rel=0.05)
