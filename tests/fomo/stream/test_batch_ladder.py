"""Batch sizes that are decided task by task: the decision, and runs that follow it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import fomo
from fomo.budget import Budget
from fomo.budget.plan import Memory, check_rungs, climbed, plan, typed_in
from fomo.cli.progress import ProgressLines
from fomo.config.compose import compose
from fomo.config.schema import Resolved, resolve
from fomo.errors import FomoError
from fomo.report.compute import compute_line
from fomo.report.leaderboard import leaderboard
from fomo.results.card import read_card
from fomo.results.config_file import comparable
from fomo.results.ledger import read_ledger
from fomo.stream.batch_ladder import next_size
from fomo.stream.batch_sizes import BatchSizes, Stretch
from fomo.system.ranks import world
from fomo.testing.processes import on_ranks
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.budget.test_plan import GIGA, cost_of, ramped_cost
from tests.fomo.helpers import status
from tests.fomo.running.test_resume import OFTEN, cut_run
from tests.fomo.stream.test_batch_sizes import steps_of

ASKED = (20.0, 1000.0, 2.0, 1.0)
"""What the planted test asks for after each task: within the size at hand, beyond the ladder, and below it."""


class Planted(fomo.Method):
    """Measures nothing, and says what was planted."""

    group = "diagnostics"
    batch_tests = ("norm_test",)

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.log("norm_test", ASKED[task.number - 1])


class Silent(Planted):
    """Promises a test, and does not take it."""

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        pass


def measured_by(part: type) -> tuple[str, ...]:
    return (f"diagnostics._target_={__name__}.{part.__name__}", f"runtime.allow_targets=[{__name__.partition('.')[0]}]")


LADDER = ("batch_ladder.sizes=[24,36]", "batch_size=12", "num_tasks=4")
PLANTED = (*LADDER, *measured_by(Planted))
SAMPLES = ("budget=samples", "budget.steps=null", "budget.samples=304")
LINEAR = ("batch_scaling.rule=linear", "schedule=constant", "schedule.warmup=0.5", "runtime.num_workers=1")
NOISE = ("diagnostics=gradient_noise", "diagnostics.num_pieces=2", "diagnostics.rows=1")


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        (12, 11.9, 12),
        (12, 12.0, 12),
        (12, 12.1, 24),
        (12, 24.0, 24),
        (12, 24.5, 36),
        (12, 36.5, 36),
        (12, math.inf, 36),
        (12, math.nan, 12),
        (24, 13.0, 24),
        (24, 25.0, 36),
        (36, 1e9, 36),
        (36, 0.0, 36),
    ],
)
def test_the_next_size_is_the_lowest_rung_that_does_and_never_lower(size: int, asked: float, expected: int) -> None:
    assert next_size((24, 36), size, asked) == expected


def test_later_tasks_are_planned_at_their_size_by_hand() -> None:
    # Of 8 rows a step costs 3 and the first 5, of 32 rows 11 and 13. A share of 50 pays 5 + 15·3 = 50, or 13 + 3·11.
    sizes = BatchSizes(8, rungs=(32,))
    planned = plan(Budget(total_gflops=150), cost_of(*[ramped_cost()] * 3), Memory(1, 1), sizes)
    assert planned.steps == (16, 16, 16) and sizes.distinct == (8, 32)
    later = climbed(planned, 1, 32)
    assert later.steps == (16, 4, 4) and [later.flops(task) // GIGA for task in (1, 2, 3)] == [50, 46, 46]
    assert later.sizes.of_tasks(later.steps) == [[Stretch(16, 8)], [Stretch(4, 32)], [Stretch(4, 32)]]
    assert [later.sizes.of(step) for step in (15, 16)] == [8, 32]


def test_typed_in_samples_are_shared_alike_at_every_size() -> None:
    planned = typed_in(Budget(samples=300), 3, BatchSizes(8, rungs=(20, 32)))
    twice = climbed(climbed(planned, 1, 20), 2, 32)
    assert (planned.steps, twice.steps) == ((12, 12, 12), (12, 5, 3))
    assert twice.sizes.of_tasks(twice.steps) == [[Stretch(12, 8)], [Stretch(5, 20)], [Stretch(3, 32)]]


def test_a_rung_that_the_budget_affords_no_step_of_is_refused() -> None:
    check_rungs(typed_in(Budget(samples=96), 3, BatchSizes(8, rungs=(32,))))
    with pytest.raises(FomoError, match=r"batch_ladder.sizes=\[16, 33\]: with 33 rows, .* less than one step"):
        check_rungs(typed_in(Budget(samples=96), 3, BatchSizes(8, rungs=(16, 33))))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (("batch_ladder.sizes=[36,24]",), "24 after 36"),
        (("batch_ladder.sizes=[24,24]",), "24 after 24"),
        (("batch_ladder.sizes=[24.5]",), "integers above batch_size"),
        (("batch_ladder.sizes=[]",), "integers above batch_size"),
        (("batch_ladder.sizes=24",), "integers above batch_size"),
        (("batch_ladder.sizes=[true]",), "integers above batch_size"),
        (("batch_ladder.sizes=[12,24]",), "12 is not above batch_size=12"),
        (("batch_ladder.sizes=[24]", "batch_ramp=[[24,36]]"), "both set later sizes"),
        (("batch_ladder.sizes=[24]", "mixture.batches=unmixed"), "mixture.batches=mixed"),
        (("batch_ladder.sizes=[24]", "batch_ladder.test=nrm_test"), "Did you mean 'norm_test'"),
        (("batch_ladder.test=inner_product_test",), "without batch_ladder.sizes"),
        (
            ("batch_ladder.sizes=[24]", "budget=wall_seconds", "budget.steps=null", "budget.wall_seconds=9"),
            "Take another budget",
        ),
    ],
)
def test_a_ladder_without_sense_is_refused(settings: tuple[str, ...], text: str) -> None:
    with pytest.raises(FomoError, match=text):
        tiny.resolved("batch_size=12", *settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (LADDER, "no part measures norm_test.*Take diagnostics=gradient_noise"),
        ((*PLANTED, "batch_ladder.test=inner_product_test"), "no part measures inner_product_test"),
        ((*PLANTED, *SAMPLES, "budget.samples=100"), "with 36 rows, .* less than one step"),
        ((*LADDER, *NOISE, "diagnostics.norm=0"), "norm"),
    ],
)
def test_what_cannot_be_decided_is_refused_before_training(settings: tuple[str, ...], text: str) -> None:
    with pytest.raises(FomoError, match=text):
        tiny.prepared(*settings)


def test_configurations_without_a_ladder_keep_their_hash() -> None:
    values: Mapping[str, Any] = compose(list(tiny.TINY))
    older = Resolved(resolve(values).config, {key: each for key, each in values.items() if key != "batch_ladder"})
    assert "batch_ladder" not in comparable(values) and older.sha256 == Resolved(older.config, values).sha256
    assert "batch_ladder" in comparable(tiny.resolved("batch_size=12", "batch_ladder.sizes=[24]").values)


def test_a_run_climbs_by_what_is_planted_and_does_not_fall(tmp_path: Path) -> None:
    """A share of 76 samples is six steps of 12, three of 24, two of 36."""
    run = tiny.run(tmp_path / "run", *PLANTED, *SAMPLES, *LINEAR)
    steps = steps_of(run)
    sizes = {task: [step["batch_size"] for step in steps if step["task"] == task] for task in range(1, 5)}
    assert sizes == {1: [12] * 6, 2: [24] * 3, 3: [36] * 2, 4: [36] * 2}
    assert all(step["pretraining"] + step["update"] + step["buffer"] == step["batch_size"] for step in steps)
    last = {step["task"]: step["lr"] for step in steps}
    assert list(last.values()) == pytest.approx([1e-3, 2e-3, 3e-3, 3e-3], rel=1e-12)
    decided = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines() if "next_batch" in line]
    assert [(each["task"], each["batch_size"], each["asked"]) for each in decided] == [
        (1, 24, 20.0),
        (2, 36, 1000.0),
        (3, 36, 2.0),
    ]
    ledger = read_ledger(run)
    assert ledger.batch_sizes == read_card(run).batch_sizes == {"1": 12, "2": 24, "3": 36, "4": 36}
    assert ledger.steps("planned") == ledger.steps("charged") == {1: 6, 2: 3, 3: 2, 4: 2}
    assert compute_line(ledger).endswith("; batch sizes of the tasks: 12, 24, 36, 36")
    (entry,) = leaderboard([run]).entries
    assert "batch_ladder.sizes=[24,36]" in entry.label and "batch sizes measured" in entry.caveats


def test_each_task_is_charged_what_its_rung_was_planned_to_cost(tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", *PLANTED, *tiny.COUNTED, "budget.total_mafs=48")
    ledger = read_ledger(run)
    assert list(ledger.batch_sizes.values()) == [12, 24, 36, 36]
    assert ledger.charged == ledger.planned and ledger.left >= 0
    for task in ledger.tasks.values():
        assert task.charged == task.planned and task.charged.mafs is not None and 0 < task.charged.mafs <= 12
        assert task.charged.flops is not None
        next_step = task.charged.mafs * (task.charged.steps + 1) / task.charged.steps
        assert next_step > 12, "another step is more than the share pays"


def test_a_run_that_was_cut_anywhere_decides_the_same(tmp_path: Path) -> None:
    overrides = (*LADDER, *NOISE, *SAMPLES, "diagnostics.norm=0.8")
    whole = tiny.run(tmp_path / "whole", *overrides)
    assert len(set(read_ledger(whole).batch_sizes.values())) > 1
    assert cut_run(tmp_path / "run", [3, 5, 2, 2, 2, 3, 1, 2], *overrides, OFTEN) >= 6
    assert differences(whole, tmp_path / "run") == []


def test_several_processes_decide_as_one_does(tmp_path: Path) -> None:
    """Each is held to its share of the FLOPs of the size that was chosen."""
    overrides = (*LADDER, *NOISE, *tiny.COUNTED, "num_tasks=2")
    alone = tiny.run(tmp_path / "alone", *overrides)
    on_ranks(2, lambda: str(tiny.run(tmp_path / "two", *overrides)))
    assert len(set(read_ledger(alone).batch_sizes.values())) > 1
    assert (tmp_path / "two" / "ledger.json").read_bytes() == (alone / "ledger.json").read_bytes()


class PlantedByRank(Planted):
    """Asks for another size in each process."""

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.log("norm_test", 20.0 + world().rank)


def test_processes_that_ask_for_other_sizes_are_stopped(tmp_path: Path) -> None:
    overrides = (*LADDER, *measured_by(PlantedByRank), *SAMPLES)
    with pytest.raises(FomoError, match=r"diagnostics\.norm_test is 20\.0 on rank 0 and 21\.0 on rank 1"):
        on_ranks(2, lambda: str(tiny.run(tmp_path / "run", *overrides)))


def test_a_part_that_promises_a_test_has_to_take_it(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"task 1: diagnostics\.norm_test was not logged"):
        tiny.run(tmp_path / "run", *LADDER, *measured_by(Silent), *SAMPLES)


def test_a_display_hears_that_fewer_steps_are_left() -> None:
    said: list[str] = []
    progress = ProgressLines(said.append, lambda: 0.0)
    progress.planned(2, 6, 1)
    for step in range(3):
        progress.step(1, step, 0.0)
    progress.planned(2, 2, 1)
    progress.step(2, 0, 0.0)
    assert said[2].startswith("2 steps to take") and ": 4 of 5 steps" in said[3]


def test_the_command_shows_what_was_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (
        "num_tasks=2",
        "batch_size=12",
        "batch_ladder.sizes=[24]",
        *NOISE,
        "diagnostics.norm=0.01",
        "budget.steps=2",
    )
    assert status("run", *tiny.TINY, *overrides, f"run.dir={tmp_path / 'run'}") == 0
    assert "if batches stay at 12" in capsys.readouterr().out
    assert "batch sizes of the tasks: 12, 24" in (tmp_path / "run" / "report.html").read_text()
