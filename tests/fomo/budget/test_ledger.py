"""The ledger: charges, limits, checks."""

import json
import pickle
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from fomo.batch import Batch
from fomo.budget import Budget
from fomo.budget.cost import Cost, TaskCost
from fomo.budget.flops import Flops, unmetered
from fomo.budget.ledger import Ledger
from fomo.budget.plan import Memory, Recomputed, StepPlan
from fomo.errors import FomoError
from fomo.system.ranks import exchanged, world
from fomo.testing.processes import on_ranks

WORK = 2 * 4 * 5 * 6


def batch(counts: tuple[int, int, int] = (2, 3, 1)) -> Batch:
    return Batch(torch.zeros(sum(counts), 3, 4, 4), torch.zeros(sum(counts), 5, dtype=torch.long), counts)


def product(rows: int = 4) -> None:
    torch.mm(torch.ones(rows, 5), torch.ones(5, 6))


def take(ledger: Ledger, task: int, step: int, rows: int = 4, counts: tuple[int, int, int] = (2, 3, 1)) -> bool:
    """A step; whether it was counted."""
    meter = ledger.meter(task, step, batch(counts))
    with meter("forward"):
        product(rows)
    ledger.charge(task, step, batch(counts), meter)
    return meter is not unmetered


def planned(steps: tuple[int, ...], refresh_every: int | None = None) -> StepPlan:
    one = {"forward": Flops(WORK, 0)}
    more = {"forward": Flops(2 * WORK, 0)} if refresh_every else one
    cost = Cost({}, (TaskCost({}, more, one, {}),) * len(steps), refresh_every, 100, 0, False, True)
    return StepPlan(Budget(total_mafs=1.0), steps, cost, Memory(100, 200))


def test_a_ledger_adds_up() -> None:
    ledger = Ledger(StepPlan(Budget(steps=5), (2, 3)), seed=0)
    for task, step, counts in ((1, 0, (5, 5, 0)), (1, 1, (5, 5, 0)), (2, 0, (4, 3, 3))):
        take(ledger, task, step, counts=counts)
    content: dict[str, Any] = json.loads(json.dumps(ledger.to_file().to_json()))
    assert content["planned"] == {"steps": 5, "flops": None} and content["left"] == 2
    assert content["charged"] == {"steps": 3, "flops": 3 * WORK} and content["phases"] == {"forward": 3 * WORK}
    assert content["tasks"]["2"]["charged"] == {"steps": 1, "flops": WORK}
    assert content["samples"] == {"pretraining": 14, "update": 13, "buffer": 3}
    assert content["unit"] == "steps" and content["marks"] == ["not budgeted"] and content["memory"] is None


def test_a_task_cannot_overspend_nor_borrow_from_the_next() -> None:
    ledger = Ledger(StepPlan(Budget(steps=10), (1, 9)), seed=0)
    take(ledger, 1, 0)
    with pytest.raises(FomoError, match=r"task 1: the 1 steps that the budget affords are spent"):
        take(ledger, 1, 1)
    assert ledger.steps == [1, 0] and ledger.samples["pretraining"] == 2


def test_mafs_are_flops_times_the_multiplier() -> None:
    ledger = Ledger(planned((3,)), seed=0)
    for step in range(3):
        take(ledger, 1, step)
    content = ledger.to_file().to_json()
    assert content["charged"] == content["planned"] == {"steps": 3, "flops": 3 * WORK, "mafs": 1.5 * WORK / 1e9}
    assert content["left"] == pytest.approx(1 - 1.5 * WORK / 1e9) and content["memory"]["multiplier"] == 0.5


def test_few_steps_are_counted_again_and_all_are_charged() -> None:
    ledger = Ledger(planned((400,)), seed=0)
    counted = [step for step in range(400) if take(ledger, 1, step)]
    assert {0, 1, 399} < set(counted) and len(counted) < 12
    assert ledger.charged_flops == 400 * WORK
    other = Ledger(planned((400,)), seed=1)
    assert counted != [step for step in range(400) if take(other, 1, step)]


@pytest.mark.parametrize("step", [0, 1, 9])
def test_another_cost_is_an_error_that_names_the_phase(step: int) -> None:
    ledger = Ledger(planned((10,)), seed=0)
    for earlier in range(step):
        take(ledger, 1, earlier)
    with pytest.raises(FomoError, match=rf"task 1, in step {step}: forward cost 3e-07 GFLOPs, planned were 2.4e-07"):
        take(ledger, 1, step, rows=5)


def _of_rank(plan: StepPlan, declares: bool) -> tuple[Any, ...]:
    """Charged, computed beside, and whether the next step is counted after another process has gone on."""
    rank = world().rank
    cost = replace(plan.cost, declared=frozenset({"forward"} if declares else ()))
    plan = replace(plan, cost=cost, recomputed=Recomputed(cost, cost))
    own = replace(batch((2 - rank, 1 + rank, 1)), whole=(3, 3, 2))
    ledger = Ledger(plan, seed=0)
    for step in (0, 1):
        meter = ledger.meter(1, step, own)
        with meter("forward"):
            product(2 if declares else 4)
        ledger.charge(1, step, own, meter)
    kept = pickle.loads(pickle.dumps(ledger.state_dict()))
    again = Ledger(plan, seed=0)
    again.load_state_dict(exchanged(kept)[0])
    return ledger.charged_flops, ledger.recomputed, again.meter(1, 2, own) is unmetered


@pytest.mark.parametrize("declares", [True, False])
def test_of_several_processes_each_is_charged_what_one_would_be_and_goes_on_with_what_it_knows(declares: bool) -> None:
    less = -WORK if declares else 0  # half of each step, which the other process computes
    assert on_ranks(2, partial(_of_rank, planned((9,)), declares)) == [(2 * WORK, less, True)] * 2


def test_without_a_plan_the_first_of_a_kind_is_the_measure() -> None:
    ledger = Ledger(StepPlan(Budget(steps=10), (10,)), seed=0)
    take(ledger, 1, 0, rows=9)  # the first step may do more
    for step in range(1, 9):
        take(ledger, 1, step)
    with pytest.raises(FomoError, match=r"in step 9: forward"):
        take(ledger, 1, 9, rows=5)


def test_steps_that_refresh_cost_what_the_first_one_does() -> None:
    ledger = Ledger(planned((7,), refresh_every=3), seed=0)
    for step in range(7):
        take(ledger, 1, step, rows=8 if step % 3 == 0 else 4)
    assert ledger.charged_flops == (3 * 2 + 4) * WORK
    assert ledger.to_file().to_json()["charged"] == ledger.to_file().to_json()["planned"]


def test_the_first_step_of_another_size_is_counted_and_held_to_its_own_cost() -> None:
    one, small = {"forward": Flops(WORK, 0)}, {"forward": Flops(WORK // 2, 0)}
    cost = Cost({}, (TaskCost({}, one, one, {}, {4: (small, small)}),), None, 100, 0, False, True)
    ledger, sizes = Ledger(StepPlan(Budget(total_mafs=1.0), (60,), cost), seed=0), ((2, 3, 1), (2, 1, 1))
    counted = [take(ledger, 1, step, rows=4 - 2 * (step > 40), counts=sizes[step > 40]) for step in range(50)]
    assert counted[41] and not all(counted[42:]) and ledger.charged_flops == 41 * WORK + 9 * WORK // 2
    other = Ledger(ledger.plan, seed=0)
    take(other, 1, 0)
    with pytest.raises(FomoError, match=r"forward cost 2.4e-07 GFLOPs, planned were 1.2e-07"):
        take(other, 1, 1, counts=(2, 1, 1))


def test_hooks_are_always_counted_and_held_to_the_plan() -> None:
    ledger = Ledger(planned((1, 1)), seed=0)
    with (
        pytest.raises(
            FomoError, match=r"task 2, at the end of the task: merging.end_task cost 2.4e-07 GFLOPs, planned"
        ),
        ledger.hooks(2, "end") as meter,
        meter("merging.end_task"),
    ):
        product()
    free = Ledger(StepPlan(Budget(steps=2), (1, 1)), seed=0)
    with free.hooks(2, "end") as meter, meter("merging.end_task"):
        product()
    assert free.to_file().to_json()["tasks"]["2"]["phases"] == {"merging.end_task": WORK}


def test_two_ledgers_share_nothing() -> None:
    one, other = (Ledger(StepPlan(Budget(steps=1), (1,)), seed=0) for _ in range(2))
    take(one, 1, 0)
    assert other.charged_flops == 0 and set(other.samples.values()) == {0}


def lost_step(ledger: Ledger, step: int, num_lost: int, rows: int = 4) -> None:
    """A step that ends before its update, and with which ``num_lost`` are without effect."""
    meter = ledger.meter(1, step, batch())
    with meter("forward"):
        product(rows)
    ledger.charge(1, step, batch(), meter, num_lost, ("optimizer", "after_step"))


def with_optimizer(steps: int) -> StepPlan:
    first = {"forward": Flops(WORK, 0), "optimizer": Flops(5 * WORK, 0)}
    other = {"forward": Flops(WORK, 0), "optimizer": Flops(WORK, 0)}
    cost = Cost({}, (TaskCost({}, first, other, {}),), 3, 100, 0, False, True)
    return StepPlan(Budget(total_gflops=1.0), (steps,), cost)


def update(ledger: Ledger, step: int, times: int) -> None:
    meter = ledger.meter(1, step, batch())
    with meter("forward"):
        product()
    with meter("optimizer"):
        product(4 * times)
    ledger.charge(1, step, batch(), meter)


def test_a_lost_step_is_charged_without_its_update_and_the_next_one_takes_its_place() -> None:
    """Refreshes come with every third update, wherever it is: steps 1 and 5 here, 0 and 4 being lost."""
    ledger = Ledger(with_optimizer(7), seed=0)
    for step in range(7):
        if step in (0, 4):
            lost_step(ledger, step, 1)
        else:
            update(ledger, step, times=5 if step in (1, 5) else 1)
    assert ledger.steps == [7] and ledger.lost == [2] and ledger.to_file().to_json()["lost_steps"] == 2
    assert ledger.charged_flops == (7 + 2 * 5 + 3) * WORK < ledger.plan.flops(1)
    assert sum(ledger.samples.values()) == 7 * 6


def test_a_lost_step_is_no_measure_of_its_kind_and_held_to_it_all_the_same() -> None:
    ledger = Ledger(StepPlan(Budget(steps=4), (4,)), seed=0)
    lost_step(ledger, 0, 1)
    for step in (1, 2):
        update(ledger, step, 1)
    assert ledger.charged_flops == 5 * WORK
    with pytest.raises(FomoError, match="in step 3, which is lost: forward"):
        lost_step(ledger, 3, 1, rows=5)


def test_what_is_lost_is_kept_with_the_state() -> None:
    ledger = Ledger(with_optimizer(7), seed=0)
    update(ledger, 0, 5)
    lost_step(ledger, 1, 2)
    other = Ledger(with_optimizer(7), seed=0)
    other.load_state_dict(ledger.state_dict())
    assert other.lost == [2] and other.applied(1, 2) == 0
    update(other, 2, 5)


def holding(held: int, declared: bool = True) -> Ledger:
    """A ledger of two tasks in which the part "extra" holds so many bytes, of a peak of a million."""
    task = TaskCost({}, None, None, {}, held={"begin": {"extra": held}, "end": {"extra": held}})
    cost = Cost({}, (task, task), None, 10**6, 0, False, True, frozenset(["extra.end_task"] if declared else []))
    return Ledger(StepPlan(Budget(total_mafs=1.0), (0, 0), cost, Memory(1, 1)), seed=0)


def test_a_part_holds_what_it_pays_for_or_less() -> None:
    for found in (0, 5000, 6000):
        holding(5000).check_memory(2, "end", {"extra": found})
    with pytest.raises(FomoError, match=r"task 2, after the hooks at its end: extra holds 6,001 bytes.*were 5,000"):
        holding(5000).check_memory(2, "end", {"extra": 6001})
    Ledger(StepPlan(Budget(steps=2), (1, 1)), seed=0).check_memory(1, "begin", {"extra": 10**9})


@pytest.mark.parametrize(("declared", "begun"), [(True, True), (False, True), (True, False)])
def test_the_peak_of_the_gpu_is_compared_where_a_hook_declares(
    declared: bool, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not in a task that was gone on with, since a checkpoint was read in it."""
    monkeypatch.setattr("fomo.budget.ledger.allocator_peak", lambda: 2 * 10**9)
    checked = holding(0, declared)
    for task in (1, 2) if begun else ():
        checked.check_memory(task, "begin", {"extra": 0})
    if declared and begun:
        with pytest.raises(FomoError, match=r"task 2: 2,000,000,000 bytes.*on the GPU.*planned were 1,000,000"):
            checked.check_memory(2, "end", {"extra": 0})
    else:
        checked.check_memory(2, "end", {"extra": 0})
