"""Steps that are not finite: stopped at, skipped, or rewound; each beside a loop that leaves those updates out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from fomo.budget import Budget
from fomo.budget.cost import Cost, TaskCost
from fomo.budget.flops import Flops
from fomo.budget.plan import StepPlan
from fomo.cli.leaderboard import main as show_board
from fomo.config import factory
from fomo.errors import FomoError
from fomo.method import Task
from fomo.model import fast
from fomo.model.clip import train_mode
from fomo.report.leaderboard import leaderboard
from fomo.report.tables import result_table
from fomo.results.layout import WEIGHTS
from fomo.results.record import lost_caveats
from fomo.running.run import execute
from fomo.training.loader import Batches
from fomo.training.nonfinite import LIMIT, check_rewindable
from tests import tiny
from tests.faults.compare import differences, events
from tests.faulty import faulty, install, marked
from tests.fomo.running.test_resume import OFTEN, cut_run

Places = tuple[tuple[int, int], ...]
STEPS = ("budget.steps=12",)
"""Two tasks of six."""


@pytest.fixture(autouse=True)
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "plug_in", monkeypatch)
    monkeypatch.setattr(fast, "is_counting", lambda: True)  # one way to compute: others have other last bits


def spoilt(*places: tuple[int, int], kind: str = "no_number", steps: tuple[str, ...] = STEPS) -> tuple[str, ...]:
    """Overrides of a run whose loss is not finite at ``places``."""
    return (*steps, *faulty(batches=marked(tiny.prepared(*steps), *places), kind=kind))


def without(omitted: Places, *overrides: str) -> dict[str, Tensor]:
    """The weights of a plain loop that leaves the updates of ``omitted`` out, and goes on with the next batch."""
    prepared = tiny.prepared(*overrides)
    config, network, methods = prepared.resolved.config, prepared.model.network, prepared.methods
    learner = factory.learner(config, network, methods)
    batches = Batches(prepared.maker, prepared.model, config.runtime)
    learning_rate = prepared.learning_rate_of(prepared.plan)
    for number, num_steps in enumerate(prepared.plan.steps, start=1):
        task = Task(number, len(prepared.plan.steps), num_steps, config.seed)
        methods.each("begin_task", network, task)
        optimizer = learner.optimizer()
        assert optimizer
        train_mode(network)
        for step, batch in enumerate(batches.of_task(number, num_steps)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(number, step, num_steps)
            if (number, step) not in omitted:
                learner.step(optimizer, batch)
        methods.each("end_task", network, task)
    return tiny.snapshot(network)


def content(run: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run / f"{name}.json").read_text())
    return read


SKIPS = [("no_number", ((1, 0),)), ("infinite", ((1, 2), (1, 3), (2, 5))), ("gradient", ((2, 1),))]


@pytest.mark.parametrize(("kind", "places"), SKIPS, ids=["first", "several", "gradient"])
def test_a_skipped_step_is_an_update_left_out(kind: str, places: Places, tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", *spoilt(*places, kind=kind), "on_nan=skip")
    assert not tiny.changed(without(places, *STEPS, *faulty()), load_file(run / WEIGHTS))
    steps = [event for event in events(run) if event["event"] == "step"]
    assert [(e["task"], e["step"]) for e in steps if e.get("lost") == 1] == list(places) and len(steps) == 12
    scores, ledger = content(run, "scores"), content(run, "ledger")
    assert scores["not_finite"] == [{"task": task, "step": step, "lost": 1} for task, step in places]
    word = "step" if len(places) == 1 else "steps"
    assert scores["marks"] == content(run, "card")["marks"] == ["not budgeted", f"{len(places)} {word} skipped"]
    assert ledger["charged"]["steps"] == 12 and ledger["lost_steps"] == len(places) and ledger["left"] == 0


REWINDS = [
    (((1, 3),), ((1, 2), (1, 3)), [(2, 2)]),
    (((1, 2),), ((1, 2),), [(1, 2)]),
    (((1, 2), (1, 3), (2, 1)), ((1, 2), (1, 3), (2, 0), (2, 1)), [(1, 2), (1, 2), (2, 0)]),
    (((2, 5),), ((2, 4), (2, 5)), [(2, 4)]),
]


@pytest.mark.parametrize(("places", "omitted", "notes"), REWINDS, ids=["inside", "at", "twice", "last"])
def test_a_rewind_leaves_out_what_was_done_since_the_kept_state(
    places: Places, omitted: Places, notes: list[tuple[int, int]], tmp_path: Path
) -> None:
    """``rewind_every=2``: states are kept before steps 0, 2 and 4 of each task of six."""
    run = tiny.run(tmp_path / "run", *spoilt(*places), "on_nan=rewind", "rewind_every=2")
    assert not tiny.changed(without(omitted, *STEPS, *faulty()), load_file(run / WEIGHTS))
    found = content(run, "scores")["not_finite"]
    assert [(each["lost"], each["rewound_to"]) for each in found] == notes
    assert [(each["task"], each["step"]) for each in found] == list(places)
    rewinds = "1 rewind" if len(places) == 1 else f"{len(places)} rewinds"
    steps = "1 step" if len(omitted) == 1 else f"{len(omitted)} steps"
    assert content(run, "scores")["marks"][1:] == [f"{rewinds}, {steps} lost"]
    assert content(run, "ledger")["lost_steps"] == len(omitted) and content(run, "ledger")["charged"]["steps"] == 12


@pytest.mark.parametrize(
    ("policy", "places"),
    [(("on_nan=skip",), ((1, 1), (1, 2), (2, 5))), (("on_nan=rewind", "rewind_every=3"), ((1, 2), (1, 4), (2, 4)))],
    ids=["skip", "rewind"],
)
def test_cut_anywhere_it_is_the_run_that_was_not(
    policy: tuple[str, ...], places: Places, device: str, tmp_path: Path
) -> None:
    overrides = spoilt(*places, steps=(*STEPS, f"runtime.device={device}"))
    overrides = (*overrides, "trainable=lora", "trainable.placement=all", "merging=ema", "merging.weight=0.5")
    overrides = (*overrides, "model=pocket", *policy)
    whole = tiny.run(tmp_path / "whole", *overrides)
    assert len(content(whole, "scores")["not_finite"]) == 3
    assert cut_run(tmp_path / "run", [5, 3, 3, 2], *overrides, OFTEN) == 4
    assert differences(whole, tmp_path / "run") == []


def test_stop_names_a_gradient_that_is_not_finite_and_keeps_its_batch(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"task 1, step 2: the gradient norm is (nan|inf).*bad_batch"):
        tiny.run(tmp_path / "run", *spoilt((1, 2), kind="gradient"))
    saved = load_file(tmp_path / "run" / "bad_batch.safetensors")
    assert torch.equal(saved["images"], tiny.prepared(*STEPS).maker[(1, 2)].images)


@pytest.mark.parametrize("policy", [("skip",), ("rewind", "rewind_every=12")], ids=["skip", "rewind"])
def test_too_many_in_a_row_stop_the_run(policy: tuple[str, ...], tmp_path: Path) -> None:
    """Nine of them do not; with rewinds, those back to the same state count."""
    steps = ("budget.steps=24",)
    name, *more = policy
    for number in (LIMIT - 1, LIMIT):
        overrides = (*spoilt(*((1, step) for step in range(1, 1 + number)), steps=steps), f"on_nan={name}", *more)
        if number < LIMIT:
            tiny.run(tmp_path / "fewer", *overrides)
            continue
        with pytest.raises(FomoError, match=rf"task 1, step 10: 10 steps .*on_nan={name}.*bad_batch"):
            tiny.run(tmp_path / "run", *overrides)
    assert not (tmp_path / "run" / "card.json").exists()
    assert sum("lost" in event for event in events(tmp_path / "run")) == LIMIT


def test_a_counted_budget_pays_for_lost_steps_and_is_not_overspent(tmp_path: Path) -> None:
    """What a skipped step did not come to, the optimizer's products (GaLore's here), is not charged."""
    counted = ("optimizer=galore", *tiny.COUNTED, "budget.total_mafs=60")
    prepared = tiny.prepared(*spoilt((1, 0), (2, 2), steps=counted), "on_nan=skip")
    execute(prepared, tmp_path / "run", tiny.Silent())
    ledger, cost = content(tmp_path / "run", "ledger"), prepared.plan.cost
    assert cost and cost.tasks[0].ordinary and cost.tasks[1].ordinary
    unspent = sum(task.ordinary["optimizer"].charged for task in cost.tasks if task.ordinary)
    assert ledger["charged"]["steps"] == ledger["planned"]["steps"] and ledger["lost_steps"] == 2
    assert unspent > 0 and ledger["charged"]["flops"] == ledger["planned"]["flops"] - unspent


def test_the_tables_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = spoilt((1, 1), (1, 2))
    runs = [tiny.run(tmp_path / seed, *overrides, "on_nan=skip", f"seed={seed}") for seed in "01"]
    console = Console(width=200, record=True)
    console.print(result_table(runs[0]))
    text = console.export_text()
    assert "2 steps skipped" in text and "12 of 12 steps (2 lost)" in text
    assert "2 steps skipped" in (runs[0] / "report.html").read_text()
    (entry,) = leaderboard(runs).entries  # of the other seed, whose batches are others, no step was lost
    assert entry.caveats == ("not budgeted", "2 steps skipped") and entry.seeds == (0, 1)
    assert leaderboard(runs[::-1]).entries[0].caveats == entry.caveats
    show_board(["--json", str(runs[0])])
    assert "2 steps skipped" in capsys.readouterr().out


def test_caveats_count_and_say_how_many() -> None:
    skip, back = {"task": 1, "step": 1, "lost": 1}, {"task": 1, "step": 4, "lost": 3, "rewound_to": 2}
    assert (
        lost_caveats([]) == []
        and lost_caveats([skip]) == ["1 step skipped"]
        and lost_caveats([skip, skip]) == ["2 steps skipped"]
    )
    assert lost_caveats([back]) == ["1 rewind, 3 steps lost"] and lost_caveats([back, back]) == [
        "2 rewinds, 6 steps lost"
    ]


def test_rewinding_what_would_be_paid_twice_is_refused() -> None:
    dear, cheap = {"optimizer": Flops(9, 0)}, {"optimizer": Flops(1, 0)}
    for first, refused in ((dear, True), (cheap, False)):
        cost = Cost({}, (TaskCost({}, first, cheap, {}),), 3, 1, 0, False, True)
        plan = StepPlan(Budget(total_gflops=1), (3,), cost)
        if refused:
            with pytest.raises(FomoError, match=r"on_nan=rewind: .*overspend.*on_nan=skip"):
                check_rewindable(plan)
        else:
            check_rewindable(plan)
    with pytest.raises(FomoError, match="on_nan=rewind"):
        tiny.prepared("optimizer=galore", *tiny.COUNTED, "budget.total_mafs=60", "on_nan=rewind")


def test_other_values_are_refused() -> None:
    with pytest.raises(FomoError, match=r"value of on_nan 'skp'\. Did you mean 'skip'\? Allowed: rewind, skip, stop"):
        tiny.resolved("on_nan=skp")
    with pytest.raises(FomoError, match=r"rewind_every=0: allowed are 1 and above"):
        tiny.resolved("on_nan=rewind", "rewind_every=0")
