"""The plan and the ledger of steps."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.budget import Budget, Ledger
from fomo.errors import FomoError


@given(st.integers(1, 10**6), st.integers(1, 200))
def test_a_plan_is_even_whole_and_never_more_than_the_total(total: int, num_tasks: int) -> None:
    if total < num_tasks:
        with pytest.raises(FomoError):
            Budget(total).plan(num_tasks)
        return
    plan = Budget(total).plan(num_tasks)
    assert len(plan) == num_tasks and len(set(plan)) == 1
    assert total - num_tasks < sum(plan) <= total


def test_the_published_plan() -> None:
    assert Budget(28400).plan(20) == (1420,) * 20


def test_less_than_one_step_per_task_names_what_would_do() -> None:
    with pytest.raises(FomoError, match=r"budget.total=5 .*6 tasks.*budget.total=6"):
        Budget(5).plan(6)
    assert Budget(6).plan(6) == (1,) * 6


@pytest.mark.parametrize("total", [0, -3])
def test_a_budget_below_one_is_refused(total: int) -> None:
    with pytest.raises(FomoError, match=rf"budget.total={total}"):
        Budget(total)


def test_an_unknown_unit_is_refused_with_the_nearest() -> None:
    with pytest.raises(FomoError, match=r"budget.unit 'step'.*Did you mean 'steps'"):
        Budget(1, "step")


def test_a_ledger_adds_up() -> None:
    ledger = Ledger("steps", (2, 3))
    for task, counts in ((1, (5, 5, 0)), (1, (5, 5, 0)), (2, (4, 3, 3))):
        ledger.charge(task, counts)
    content = json.loads(json.dumps(ledger.to_json()))
    assert content["planned"] == 5 and content["charged"] == 3 and content["left"] == 2
    assert content["tasks"] == {"1": {"planned": 2, "charged": 2}, "2": {"planned": 3, "charged": 1}}
    assert content["samples"] == {"pretraining": 14, "update": 13, "buffer": 3}
    assert content["unit"] == "steps" and content["marks"] == ["not budgeted"]


def test_a_task_cannot_overspend_nor_borrow_from_the_next() -> None:
    ledger = Ledger("steps", (1, 9))
    ledger.charge(1, (1, 1, 0))
    with pytest.raises(FomoError, match=r"task 1: the budget of 1 steps is spent"):
        ledger.charge(1, (1, 1, 0))
    assert ledger.charged == {1: 1} and ledger.samples["pretraining"] == 1


def test_two_ledgers_share_nothing() -> None:
    one, other = Ledger("steps", (1,)), Ledger("steps", (1,))
    one.charge(1, (1, 1, 1))
    assert other.charged == {} and set(other.samples.values()) == {0}
