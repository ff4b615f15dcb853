"""Steps that a budget affords."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.budget import Budget
from fomo.budget.cost import Cost, TaskCost
from fomo.budget.flops import Flops
from fomo.budget.plan import GIGA, Memory, affordable, affords, plan, shares, task_flops, typed_in
from fomo.errors import FomoError


def task_cost(step: int, first: int | None = None, extra: int = 0) -> TaskCost:
    first_step = step if first is None else first
    hooks = {"part.end_task": Flops(extra, 0)} if extra else {}
    return TaskCost({}, {"forward": Flops(first_step, 0)}, {"forward": Flops(step, 0)}, hooks)


def cost_of(*tasks: TaskCost, begin_run: int = 0, refresh_every: int | None = None) -> Cost:
    start = {"part.begin_run": Flops(begin_run, 0)} if begin_run else {}
    return Cost(start, tasks, refresh_every, 100, 0, depends_on_samples=False, steady=True)


def gflops(number: float) -> int:
    return round(number * GIGA)


@pytest.mark.parametrize(
    ("num_tasks", "floor", "nearest"), [(20, 1419, 1420), (50, 567, 568), (100, 283, 284), (200, 141, 142)]
)
def test_the_published_steps_of_full_fine_tuning(num_tasks: int, floor: int, nearest: int) -> None:
    cost = cost_of(*[task_cost(gflops(63394.7585))] * num_tasks)
    for rounding, steps in (("floor", floor), ("nearest", nearest)):
        planned = plan(Budget(total_mafs=1.8e9, rounding=rounding), cost, Memory(1, 1))
        assert planned.steps == (steps,) * num_tasks


def test_the_published_steps_of_the_locked_text_tower() -> None:
    memory = Memory(8064, 10000)
    cost = cost_of(*[task_cost(gflops(57254.6183))] * 20)
    assert set(plan(Budget(total_mafs=1.8e9, rounding="nearest"), cost, memory).steps) == {1949}


costs = st.builds(task_cost, st.integers(1, 10**12), st.integers(1, 10**12), st.integers(0, 10**12))


@given(costs, st.fractions(0, 10**15), st.none() | st.integers(1, 50))
def test_the_floor_never_overspends_and_leaves_less_than_a_step(cost: TaskCost, share: Fraction, every: int) -> None:
    steps = affordable(cost, share, every)
    assert steps >= 0 and (steps == 0 or task_flops(cost, steps, every) <= share)
    assert task_flops(cost, steps + 1, every) > share


@given(costs, st.integers(0, 300), st.none() | st.integers(1, 50))
def test_a_tasks_cost_is_the_sum_over_its_steps(cost: TaskCost, steps: int, every: int | None) -> None:
    assert cost.first and cost.ordinary
    kinds = [cost.first if (step % every == 0 if every else step == 0) else cost.ordinary for step in range(steps)]
    hooks = sum(flops.charged for flops in cost.end.values())
    assert task_flops(cost, steps, every) == hooks + sum(kind["forward"].charged for kind in kinds)


@given(st.integers(1, 1000), st.fractions(0, 10**5))
def test_nearest_is_ordinary_rounding(step: int, share: Fraction) -> None:
    steps = affordable(task_cost(step), share, None, "nearest")
    assert abs(steps - share / step) <= Fraction(1, 2)


def test_extra_work_per_task_is_paid_before_steps() -> None:
    cost = cost_of(task_cost(10 * GIGA, extra=25 * GIGA), task_cost(10 * GIGA, extra=25 * GIGA), begin_run=20 * GIGA)
    planned = plan(Budget(total_gflops=200), cost, Memory(1, 2))
    assert planned.steps == (5, 7), "100 - 25 - 20 and 100 - 25"
    assert planned.flops(1) == 95 * GIGA and planned.flops(2) == 95 * GIGA


def test_memory_adjusts_mafs_and_not_gflops() -> None:
    cost = cost_of(task_cost(10 * GIGA))
    assert plan(Budget(total_mafs=100), cost, Memory(1, 2)).steps == (20,)
    assert plan(Budget(total_mafs=100), cost, Memory(2, 1)).steps == (5,)
    assert plan(Budget(total_gflops=100), cost, Memory(1, 2)).steps == (10,)
    assert plan(Budget(total_mafs=100, scale=2), cost, Memory(1, 1)).steps == (20,)


def test_a_method_that_trains_nothing_takes_no_step_and_is_not_refused() -> None:
    cost = cost_of(TaskCost({}, None, None, {}))
    assert plan(Budget(total_mafs=1), cost, Memory(1, 2)).steps == (0,)


@given(st.integers(1, 10**6), st.integers(1, 30), st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9))
def test_the_budget_that_is_named_would_do(step: int, tasks: int, extra: int, peak: int, reference: int) -> None:
    cost, memory = cost_of(*[task_cost(step, extra=extra)] * tasks, begin_run=extra), Memory(peak, reference)
    total = float(Fraction(step, 2) * memory.multiplier * tasks / GIGA)
    with pytest.raises(FomoError, match="affords less than one step") as caught:
        plan(Budget(total_mafs=total), cost, memory)
    enough = float(str(caught.value).split("give budget.total_mafs=")[1].split(" ")[0])
    assert min(plan(Budget(total_mafs=enough), cost, memory).steps) >= 1


def test_planning_never_refuses() -> None:
    assert affords(Budget(total_mafs=1e-9), cost_of(task_cost(10)), Memory(1, 1)).steps == (0,)


@given(st.integers(1, 10**6), st.integers(1, 200))
def test_typed_in_steps_are_even_and_never_more_than_the_total(total: int, num_tasks: int) -> None:
    if total < num_tasks:
        with pytest.raises(FomoError, match=rf"{num_tasks} tasks: give budget.steps={num_tasks} at least"):
            typed_in(Budget(steps=total), num_tasks, 8)
        return
    steps = typed_in(Budget(steps=total), num_tasks, 8).steps
    assert len(set(steps)) == 1 and total - num_tasks < sum(steps) <= total


def test_samples_and_seconds_become_steps() -> None:
    assert typed_in(Budget(samples=1000), 5, 24).steps == (8,) * 5
    assert typed_in(Budget(wall_seconds=60), 6, 24, seconds_per_step=0.3).steps == (33,) * 6
    with pytest.raises(FomoError, match=r"budget.samples=120 at least"):
        typed_in(Budget(samples=100), 5, 24)


def test_shares_are_equal() -> None:
    assert shares(Budget(total_mafs=1.5), 3) == Fraction(GIGA, 2)
