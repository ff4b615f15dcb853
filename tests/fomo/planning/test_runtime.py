"""Where, how fast and in how much memory a run computes changes no plan, no ledger and no rank."""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.model import fast
from fomo.report.leaderboard import leaderboard
from fomo.results.layout import REPORT
from fomo.results.ledger import read_ledger
from fomo.running.run import execute, prepare
from tests import tiny

TWICE = ("runtime.micro_batch=10", "runtime.grad_checkpointing=true")
SETTINGS = {
    "engine": ("runtime.compile=blocks", "runtime.deterministic=false", "runtime.num_workers=1"),
    "micro_batch": TWICE[:1],
    "grad_checkpointing": TWICE[1:],
    "both": TWICE,
}
COUNTED = ("model=pocket", "method=lora", "regularizer=ewc", "budget=mafs", "budget.steps=null")
"""Adapters, whose weights are folded once a piece, and a penalty with a pass through D_t."""
SMALL = ("regularizer.num_samples=48", "regularizer.batch_size=24", "stream.adaptation=[pocket_solids]")
METHODS = {
    "counted": (*COUNTED, *SMALL, "budget.total_mafs=10"),
    "in steps": ("model=pocket", "regularizer=ewc", *SMALL),
}
CASES = [*(("counted", setting) for setting in SETTINGS), ("in steps", "both")]


class ReadsValues(fomo.Method):
    """Adds a penalty where the loss is high."""

    group = "regularizer"

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """Twice the loss, where it is above 1."""
        return 2 * loss if float(loss) > 1 else loss


@pytest.fixture(autouse=True)
def compiler_that_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: torch.fx.GraphModule, example: object) -> Callable[..., Any]:
        return graph.forward

    monkeypatch.setattr(fast, "_compiled", cache(partial(torch.compile, fast._block, dynamic=False, backend=backend)))
    monkeypatch.setattr(fast, "_check_compiler", lambda device: None)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Of a method, its run with the runtime as it is."""
    return cache(lambda name: tiny.run(tmp_path_factory.mktemp("plain") / "run", *METHODS[name]))


@pytest.mark.parametrize(("method", "setting"), CASES)
def test_a_runtime_setting_changes_no_plan_no_ledger_and_no_rank(
    method: str, setting: str, plain: Callable[[str], Path], tmp_path: Path
) -> None:
    prepared = tiny.prepared(*METHODS[method], *SETTINGS[setting], "seed=1")
    usual = plain(method)
    run = tmp_path / "run"
    execute(prepared, run, tiny.Silent())
    ledgers = [json.loads((folder / "ledger.json").read_text()) for folder in (usual, run)]
    assert ledgers[0] == ledgers[1] and ledgers[0]["charged"]["flops"] > 0
    board = leaderboard([usual, run])
    assert len(board.entries) == 1 and len(board.entries[0].seeds) == 2, board.entries
    compute = json.loads((run / "card.json").read_text())["compute"]
    assert (compute["hfu"] > compute["mfu"]) is prepared.resolved.config.runtime.recomputes


def test_what_is_computed_twice_is_counted_and_checked() -> None:
    """A part that costs more than it said is found under recomputation too."""
    prepared = tiny.prepared(*METHODS["counted"], *TWICE)
    plan = prepared.plan
    assert plan.recomputed and plan.cost is plan.recomputed.charged
    surplus = plan.recomputed.surplus(lambda cost: cost.tasks[0].ordinary or {})
    assert {name for name, flops in surplus.items() if flops.charged} == {"forward", "backward"}


def test_a_run_in_seconds_that_goes_on_is_not_charged_for_it_either() -> None:
    seconds = ("budget=wall_seconds", "budget.steps=null", "budget.wall_seconds=5", "runtime.micro_batch=10")
    plan = prepare(tiny.resolved(*seconds), kept_steps=(2, 3)).plan
    assert plan.steps == (2, 3)
    assert plan.recomputed and any(
        flops.charged for flops in plan.recomputed.surplus(lambda cost: cost.tasks[0].ordinary or {}).values()
    )


def test_a_method_that_cannot_be_rehearsed_says_that_its_ledger_counts_twice(tmp_path: Path) -> None:
    part = (f"regularizer._target_={__name__}.ReadsValues", "runtime.allow_targets=[tests]", "runtime.micro_batch=10")
    run = tiny.run(tmp_path / "run", *part)
    assert "FLOPs include what is computed twice" in read_ledger(run).caveats
    assert "Where the time went" in (run / REPORT).read_text()


def test_counted_steps_are_those_of_the_protocol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []
    quick = fast.Block.forward
    monkeypatch.setattr(fast.Block, "forward", lambda *a, **k: (seen.append(fast.is_counting()), quick(*a, **k))[1])
    tiny.run(tmp_path / "run", "model=pocket", "num_tasks=1", "budget.steps=30")
    assert {True, False} == set(seen)
