"""Diagnostics in runs: they change nothing else, are paid for, and measure the same in a run that was cut."""

import json
from pathlib import Path
from typing import Any

import pytest

import fomo
from fomo.results.layout import WEIGHTS
from fomo.testing import conformance_of
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.running.test_resume import cut_run

BOTH = "diagnostics=[curvature,gradient_noise]"


SMALL = (
    *("diagnostics.curvature.batch_size=4", "diagnostics.curvature.num_sizes=2"),
    *("diagnostics.curvature.num_products=4", "diagnostics.gradient_noise.rows=1"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny run without diagnostics, and with both."""
    folder = tmp_path_factory.mktemp("runs")
    return tiny.run(folder / "plain"), tiny.run(folder / "measured", BOTH, *SMALL)


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    """The events of a kind."""
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


def test_they_change_no_bit_of_weights_and_scores(runs: tuple[Path, Path]) -> None:
    plain, measured = runs
    for file in (str(WEIGHTS), "scores.json", "stream.json"):
        assert (plain / file).read_bytes() == (measured / file).read_bytes(), file


def test_what_they_cost_is_in_the_ledger_and_nothing_else_is_another(runs: tuple[Path, Path]) -> None:
    plain, measured = (json.loads((run / "ledger.json").read_text())["phases"] for run in runs)
    own = {name: flops for name, flops in measured.items() if name.startswith("diagnostics.")}
    assert {name: flops for name, flops in measured.items() if name not in own} == plain
    assert {name.rsplit(".", 1)[1] for name, flops in own.items() if flops} == {"begin_task", "loss", "after_backward"}


def test_what_they_measure_is_in_the_events(runs: tuple[Path, Path]) -> None:
    steps = events(runs[1], "step")
    assert all(step["diagnostics.gradient_noise.variance"] > 0 for step in steps) and len(steps) == 6
    assert all(begun["diagnostics.curvature.lambda_max_4"] > 0 for begun in events(runs[1], "begin_task"))
    assert len(events(runs[1], "begin_task")) == len(events(runs[1], "end_task")) == 2


def test_a_budget_of_flops_pays_for_them(tmp_path: Path) -> None:
    budget = ("budget=gflops", "budget.steps=null", "budget.total_gflops=60")
    plain = json.loads((tiny.run(tmp_path / "plain", *budget) / "ledger.json").read_text())
    run = tiny.run(tmp_path / "run", *budget, BOTH, *SMALL, "runtime.micro_batch=10")
    measured = json.loads((run / "ledger.json").read_text())
    assert measured["charged"] == measured["planned"]
    assert measured["charged"]["steps"] < plain["charged"]["steps"]


def test_a_run_that_was_cut_measures_what_the_whole_one_does(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Cut inside of both tasks: what is measured again where a task is begun again is not written again."""
    often = "checkpoint.every_steps=1"
    assert cut_run(tmp_path / "run", [3, 4], BOTH, *SMALL, often) == 2
    assert not differences(runs[1], tmp_path / "run")


TINIEST = "diagnostics.batch_size=2 diagnostics.num_sizes=1 diagnostics.num_products=2"


@pytest.mark.parametrize(
    "diagnostics",
    [
        f"diagnostics=curvature {TINIEST}",
        f"diagnostics=curvature {TINIEST} diagnostics.preconditioner=adam diagnostics.num_batches=2",
        "diagnostics=gradient_noise diagnostics.rows=1",
        "diagnostics=gradient_noise diagnostics.rows=1 method=lora",
    ],
)
def test_a_diagnostic_conforms(diagnostics: str, device: str) -> None:
    conformance_of(diagnostics.split(), device=device).require()


@pytest.mark.parametrize("name", ["curvature", "gradient_noise"])
def test_where_nothing_is_trained_there_is_nothing_to_measure(name: str, tmp_path: Path) -> None:
    with pytest.raises(fomo.FomoError, match=r"nothing is trained.*diagnostics=none"):
        tiny.run(tmp_path / "run", "method=frozen", f"diagnostics={name}")
