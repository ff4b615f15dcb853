"""Steps that a budget affords."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fomo.budget import Budget
from fomo.budget.cost import Cost, TaskCost, of_all_sizes
from fomo.budget.flops import Flops
from fomo.budget.plan import GIGA, Memory, affordable, affords, plan, shares, task_flops, typed_in
from fomo.errors import FomoError
from fomo.stream.batch_sizes import BatchSizes, Stretch


def task_cost(step: int, first: int | None = None, extra: int = 0) -> TaskCost:
    first_step = step if first is None else first
    hooks = {"part.end_task": Flops(extra, 0)} if extra else {}
    return TaskCost({}, {"forward": Flops(first_step, 0)}, {"forward": Flops(step, 0)}, hooks)


def cost_of(*tasks: TaskCost, begin_run: int = 0, refresh_every: int | None = None) -> Cost:
    start = {"part.begin_run": Flops(begin_run, 0)} if begin_run else {}
    return Cost(start, tasks, refresh_every, 100, 0, depends_on_samples=False, steady=True)


def flops_of(cost: TaskCost, steps: int, every: int | None = None) -> int:
    """Of so many steps of one size."""
    return task_flops(cost, [Stretch(steps, 8)], every)


def price_of(cost: TaskCost, every: int | None = None) -> Callable[[int], int]:
    return lambda steps: flops_of(cost, steps, every)


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


costs = st.builds(task_cost, st.integers(1, 10**12), st.integers(1, 10**12), st.integers(0, 10**12))


@given(costs, st.fractions(0, 10**15), st.none() | st.integers(1, 50))
def test_the_floor_never_overspends_and_leaves_less_than_a_step(cost: TaskCost, share: Fraction, every: int) -> None:
    steps = affordable(price_of(cost, every), share)
    assert steps >= 0 and (steps == 0 or flops_of(cost, steps, every) <= share)
    assert flops_of(cost, steps + 1, every) > share


@given(costs, st.integers(0, 300), st.none() | st.integers(1, 50))
def test_a_tasks_cost_is_the_sum_over_its_steps(cost: TaskCost, steps: int, every: int | None) -> None:
    assert cost.first and cost.ordinary
    kinds = [cost.first if (step % every == 0 if every else step == 0) else cost.ordinary for step in range(steps)]
    hooks = sum(flops.charged for flops in cost.end.values())
    assert flops_of(cost, steps, every) == hooks + sum(kind["forward"].charged for kind in kinds)


@given(st.integers(1, 1000), st.fractions(0, 10**5))
def test_nearest_is_ordinary_rounding(step: int, share: Fraction) -> None:
    steps = affordable(price_of(task_cost(step)), share, "nearest")
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
@example(15625, 24, 15625, 1, 1)  # 0.001125 exactly, which as a float is less
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
            typed_in(Budget(steps=total), num_tasks, BatchSizes(8))
        return
    steps = typed_in(Budget(steps=total), num_tasks, BatchSizes(8)).steps
    assert len(set(steps)) == 1 and total - num_tasks < sum(steps) <= total


def test_samples_and_seconds_become_steps() -> None:
    assert typed_in(Budget(samples=1000), 5, BatchSizes(24)).steps == (8,) * 5
    assert typed_in(Budget(wall_seconds=60), 6, BatchSizes(24), {24: 0.3}).steps == (33,) * 6
    with pytest.raises(FomoError, match=r"budget.samples=120 at least"):
        typed_in(Budget(samples=100), 5, BatchSizes(24))


def test_shares_are_equal() -> None:
    assert shares(Budget(total_mafs=1.5), 3) == Fraction(GIGA, 2)


# 8 samples a step for 10 steps, then 32: a step of 8 costs 3, one of 32 costs 11, the first of a task 2 more.
RAMP = BatchSizes(8, ((80, 32),))


def ramped_cost(extra: int = 0) -> TaskCost:
    cost = task_cost(3 * GIGA, 5 * GIGA, extra * GIGA)
    larger = ({"forward": Flops(13 * GIGA, 0)}, {"forward": Flops(11 * GIGA, 0)})
    return TaskCost(cost.begin, cost.first, cost.ordinary, cost.end, {32: larger})


def test_a_ramp_is_planned_by_hand() -> None:
    # A share of 50: 5 + 9·3 are 32 after ten steps, one of 32 samples makes 43; then 13 + 3·11 = 46 in every task.
    planned = plan(Budget(total_gflops=150), cost_of(*[ramped_cost()] * 3), Memory(1, 1), RAMP)
    assert planned.steps == (11, 4, 4)
    assert [planned.flops(task) // GIGA for task in (1, 2, 3)] == [43, 46, 46]
    # With hooks of 10 for 40: 5 + 8·3 = 29 are nine steps, and the next two cost 3 and 11; then 13 + 11 + 11 = 35.
    planned = plan(Budget(total_gflops=150), cost_of(*[ramped_cost(10)] * 3), Memory(1, 1), RAMP)
    assert planned.steps == (10, 3, 3)
    # Every second step does as the first one does: 5 + 3 + 5 + 3 + … are 40 after ten steps; 13 + 11 + 13 = 37.
    refreshing = plan(Budget(total_gflops=150), cost_of(*[ramped_cost()] * 3, refresh_every=2), Memory(1, 1), RAMP)
    assert refreshing.steps == (10, 4, 4) and refreshing.flops(2) == 48 * GIGA


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(20, 90), st.integers(2, 40)), max_size=4),
    st.integers(1, 60),
    st.none() | st.integers(1, 5),
)
def test_a_ramped_plan_spends_its_shares_and_leaves_less_than_a_step(
    num_tasks: int, gaps: list[tuple[int, int]], share: int, every: int | None
) -> None:
    """Against a plain count, step by step."""
    samples, ramp = 0, []
    for gap, size in gaps:
        samples += gap + 40
        ramp.append((samples, size))
    sizes = BatchSizes(4, tuple(ramp))
    larger = {size: ({"forward": Flops(5 * size, 0)}, {"forward": Flops(3 * size, 0)}) for size in sizes.distinct[1:]}
    cost = TaskCost({}, {"forward": Flops(20, 0)}, {"forward": Flops(12, 0)}, {}, larger)
    planned = affords(
        Budget(total_gflops=share * num_tasks * 1e-8),
        cost_of(*[cost] * num_tasks, refresh_every=every),
        Memory(1, 1),
        sizes,
    )
    made = 0
    for task, steps in enumerate(planned.steps, start=1):
        prices = [
            (5 if (step % every == 0 if every else step == 0) else 3) * sizes.of(made + step)
            for step in range(steps + 1)
        ]
        exact = shares(planned.budget, num_tasks)
        assert planned.flops(task) == sum(prices[:-1]) <= exact < sum(prices)
        made += steps


def test_samples_and_seconds_of_a_ramp_become_steps() -> None:
    # 60 samples a task: 7 steps of 8; 3 of 8, which make 80, and 1 of 32; then 1 of 32 in each.
    assert typed_in(Budget(samples=240), 4, RAMP).steps == (7, 4, 1, 1)
    assert typed_in(Budget(steps=20), 4, RAMP).steps == (5, 5, 5, 5)
    # 3 seconds a task: 10 steps of 0.25 and one of 0.5; then 6.
    assert typed_in(Budget(wall_seconds=9), 3, RAMP, {8: 0.25, 32: 0.5}).steps == (11, 6, 6)
    # 24 samples a task are 3 steps of 8 in each of three; the fourth makes 80 with one; the fifth has none for 32.
    with pytest.raises(FomoError, match=r"budget.samples=192 at least"):
        typed_in(Budget(samples=144), 6, RAMP)


def test_the_budget_that_is_named_would_do_for_the_largest_batch() -> None:
    cost = cost_of(*[ramped_cost()] * 3)
    with pytest.raises(FomoError, match=r"less than one step in task 2: give budget.total_gflops=39 at least"):
        plan(Budget(total_gflops=36), cost, Memory(1, 1), BatchSizes(8, ((8, 32),)))


def test_costs_at_every_size_become_one() -> None:
    small, large = cost_of(task_cost(3, 5, extra=7), begin_run=2), cost_of(task_cost(11, 13, extra=7), begin_run=2)
    both = of_all_sizes({8: small, 32: large})
    kinds = [both.tasks[0].step(size, first) for size in (8, 32) for first in (True, False)]
    assert [kind["forward"].charged for kind in kinds] == [5, 3, 13, 11]
    assert task_flops(both.tasks[0], [Stretch(2, 8), Stretch(3, 32)], None) == 7 + 5 + 3 + 3 * 11
    assert of_all_sizes({8: small}) == small
    nothing = cost_of(TaskCost({}, None, None, {}))
    assert of_all_sizes({8: nothing, 32: nothing}) == nothing
    with pytest.raises(FomoError, match="batch_ramp: what this method does outside of steps"):
        of_all_sizes({8: small, 32: cost_of(task_cost(11, extra=8), begin_run=2)})
