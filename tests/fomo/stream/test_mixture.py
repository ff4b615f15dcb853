"""The mixture against PROTOCOL's words, written once more in fractions."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.errors import FomoError
from fomo.stream.batch_sizes import BatchSizes, Stretch
from fomo.stream.mixture import (
    BATCHES,
    Counts,
    Mixture,
    MixtureWeights,
    batch_counts,
    batches_per_pool,
    first_task_counts,
    spread,
    walk,
)

THIRDS = MixtureWeights(0.33, 0.34, 0.33)


@st.composite
def shares(draw: st.DrawFn) -> tuple[tuple[Fraction, ...], MixtureWeights]:
    """Three shares of whole hundredths or thousandths that sum to 1, exact and as a user types them."""
    whole = draw(st.sampled_from([10, 100, 1000]))
    p = draw(st.integers(0, whole))
    d = draw(st.integers(0, whole - p))
    parts = (p, d, whole - p - d)
    return tuple(Fraction(part, whole) for part in parts), MixtureWeights(*(part / whole for part in parts))


def expected_counts(batch_size: int, exact: tuple[Fraction, ...]) -> list[int]:
    counts = [floor(batch_size * share) for share in exact]
    queue = [pool for pool in (0, 1, 2) if exact[pool]]
    while sum(counts) < batch_size:
        counts[queue[0]] += 1
        queue = [*queue[1:], queue[0]]
    return counts


def test_the_protocols_batch_of_512() -> None:
    assert batch_counts(512, THIRDS) == (169, 175, 168)


@given(st.integers(1, 5000), shares())
def test_counts_are_floors_and_the_remainder_goes_round(
    batch_size: int, both: tuple[tuple[Fraction, ...], MixtureWeights]
) -> None:
    exact, weights = both
    counts = batch_counts(batch_size, weights)
    assert list(counts) == expected_counts(batch_size, exact)
    assert sum(counts) == batch_size
    assert all(count == 0 for count, share in zip(counts, exact, strict=True) if share == 0)
    assert all(abs(count - batch_size * share) < 2 for count, share in zip(counts, exact, strict=True))


@pytest.mark.parametrize(("batch_size", "counts"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 2, 0)), (4, (2, 1, 1))])
def test_the_remainder_goes_first_to_p_then_d_then_b(batch_size: int, counts: tuple[int, int, int]) -> None:
    assert batch_counts(batch_size, THIRDS) == counts


@given(st.integers(1, 2000))
def test_thirds_as_floats_share_a_batch_evenly(batch_size: int) -> None:
    counts = batch_counts(batch_size, MixtureWeights(1 / 3, 1 / 3, 1 / 3))
    assert sum(counts) == batch_size and max(counts) - min(counts) <= 1


@given(st.integers(1, 5000), shares())
def test_the_first_task_gives_the_buffers_share_to_d_and_p(
    batch_size: int, both: tuple[tuple[Fraction, ...], MixtureWeights]
) -> None:
    exact, weights = both
    p, d, b = batch_counts(batch_size, weights)
    first = first_task_counts((p, d, b))
    assert sum(first) == batch_size and first[2] == 0
    if exact[0]:
        assert first == (p + b // 2, d + b - b // 2, 0)
    else:
        assert first == (0, d + b, 0)


def test_an_odd_buffer_share_goes_to_d_in_the_first_task() -> None:
    assert first_task_counts((4, 3, 3)) == (5, 5, 0)
    assert first_task_counts((0, 3, 3)) == (0, 6, 0)


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ((-0.1, 0.6, 0.5), "mixture.pretraining=-0.1"),
        ((0.0, 1.1, -0.1), "mixture.update=1.1"),
        ((0.5, 0.25, float("nan")), "mixture.buffer=nan"),
        ((0.3, 0.3, 0.3), "sum to 1"),
        ((0.0, 0.0, 0.0), "sum to 1"),
        ((0.33, 0.33, 0.33), "0.99"),
        ((0.33, 0.34, 0.33, "unmixt"), "mixture.batches 'unmixt'. Did you mean 'unmixed'"),
    ],
)
def test_bad_weights_are_refused_by_name(weights: tuple[Any, ...], name: str) -> None:
    with pytest.raises(FomoError, match=name):
        MixtureWeights(*weights)


@given(st.integers(0, 2**40), st.integers(1, 60), st.integers(0, 4))
def test_every_epoch_of_a_walk_is_a_permutation(seed: int, size: int, epoch: int) -> None:
    drawn = walk(seed, "pool", size, epoch * size, size)
    assert sorted(drawn.tolist()) == list(range(size))


@given(st.integers(0, 50), st.integers(1, 40), st.integers(0, 150), st.integers(0, 150))
def test_a_walk_is_a_slice_of_a_longer_one(seed: int, size: int, start: int, count: int) -> None:
    longer = walk(seed, "pool", size, 0, start + count + 7)
    assert walk(seed, "pool", size, start, count).tolist() == longer[start : start + count].tolist()


def test_epochs_seeds_names_and_sizes_give_other_orders() -> None:
    orders = [
        walk(0, "a", 100, 0, 100),
        walk(0, "a", 100, 100, 100),
        walk(1, "a", 100, 0, 100),
        walk(0, "b", 100, 0, 100),
    ]
    assert len({order.tobytes() for order in orders}) == len(orders)


def test_seed_0_is_a_seed() -> None:
    assert walk(0, "a", 100, 0, 100).tolist() == walk(0, "a", 100, 0, 100).tolist()
    assert walk(0, "a", 100, 0, 100).tolist() != list(range(100))
    assert len({walk(seed, "a", 100, 0, 100).tobytes() for seed in range(5)}) == 5


def test_who_changes_a_draw_changes_no_other() -> None:
    before = walk(3, "a", 50, 10, 30)
    kept = before.tolist()
    before[:] = -1
    assert walk(3, "a", 50, 10, 30).tolist() == kept


def mixture(seed: int = 0, batch_size: int = 10) -> Mixture:
    return Mixture(seed, BatchSizes(batch_size), THIRDS, steps=(4, 3, 5))


SIZES = {1: (17, 11, 0), 2: (17, 9, 11), 3: (17, 13, 20)}
KEYS = [(task, step) for task, steps in enumerate((4, 3, 5), 1) for step in range(steps)]


def test_draws_depend_on_seed_task_and_step_alone() -> None:
    used, drawn = mixture(), {}
    for task, step in reversed(KEYS):
        drawn[task, step] = used.draws(task, step, SIZES[task])
    for task, step in KEYS:
        fresh = mixture().draws(task, step, SIZES[task])
        assert all(np.array_equal(a, b) for a, b in zip(fresh, drawn[task, step], strict=True))


def test_another_seed_draws_otherwise() -> None:
    for task, step in KEYS:
        one, other = mixture(0).draws(task, step, SIZES[task]), mixture(1).draws(task, step, SIZES[task])
        assert np.concatenate(one).tolist() != np.concatenate(other).tolist()


def test_draws_have_the_counts_of_their_task_and_stay_in_their_pool() -> None:
    for task, step in KEYS:
        drawn = mixture().draws(task, step, SIZES[task])
        assert tuple(map(len, drawn)) == mixture().counts(task, step) == ((5, 5, 0) if task == 1 else (4, 3, 3))
        for rows, size in zip(drawn, SIZES[task], strict=True):
            assert all(0 <= row < size for row in rows)


def test_the_position_in_p_goes_on_across_tasks() -> None:
    taken = np.concatenate([mixture().draws(task, step, SIZES[task])[0] for task, step in KEYS])
    assert len(taken) == 4 * 5 + 3 * 4 + 5 * 4
    for start in range(0, len(taken) - 17, 17):
        assert sorted(taken[start : start + 17].tolist()) == list(range(17))


@pytest.mark.parametrize("pool", [1, 2])
def test_d_and_b_are_walked_anew_in_each_task(pool: int) -> None:
    for task, num_steps in ((2, 3), (3, 5)):
        taken = np.concatenate([mixture().draws(task, step, SIZES[task])[pool] for step in range(num_steps)])
        first = taken[: SIZES[task][pool]].tolist()
        assert len(set(first)) == len(first)
    starts = [mixture().draws(task, 0, (17, 50, 50))[pool].tolist() for task in (2, 3)]
    assert starts[0] != starts[1]


def test_a_pool_of_weight_zero_may_be_empty() -> None:
    only_new = Mixture(0, BatchSizes(8), MixtureWeights(0, 1, 0), steps=(2, 2))
    p, d, b = only_new.draws(2, 1, (0, 5, 0))
    assert (len(p), len(d), len(b)) == (0, 8, 0)


def unmixed(exact: tuple[Fraction, ...]) -> MixtureWeights:
    return MixtureWeights(*(float(share) for share in exact), batches="unmixed")


def per_task(steps: Sequence[int], weights: MixtureWeights) -> list[Counts]:
    """Batches of each pool in each task, all of one size."""
    return [counts for (counts,) in batches_per_pool([[Stretch(number, 10)] for number in steps], weights)]


def first(exact: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """PROTOCOL's first task, in shares: the buffer's goes to D and P, all to D where P has none."""
    p, d, b = exact
    return (p + b / 2, d + b / 2, Fraction(0)) if p else (p, d + b, Fraction(0))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), shares())
def test_unmixed_steps_of_a_task_are_its_shares_to_a_batch(
    steps: list[int], both: tuple[tuple[Fraction, ...], MixtureWeights]
) -> None:
    exact, _ = both
    for task, (num_steps, counts) in enumerate(zip(steps, per_task(steps, unmixed(exact)), strict=True), 1):
        due = [share * num_steps for share in (first(exact) if task == 1 else exact)]
        assert sum(counts) == num_steps
        assert all(floor(d) <= c <= ceil(d) for d, c in zip(due, counts, strict=True))


@given(st.lists(st.integers(1, 40), min_size=2, max_size=60), shares())
def test_unmixed_steps_never_fall_two_behind_their_shares_of_the_run(
    steps: list[int], both: tuple[tuple[Fraction, ...], MixtureWeights]
) -> None:
    exact, _ = both
    total, due = [0, 0, 0], [Fraction(0)] * 3
    for task, counts in enumerate(per_task(steps, unmixed(exact)), 1):
        shares_now = first(exact) if task == 1 else exact
        due = [old + share * steps[task - 1] for old, share in zip(due, shares_now, strict=True)]
        total = [old + count for old, count in zip(total, counts, strict=True)]
        assert all(abs(d - n) < 2 for d, n in zip(due, total, strict=True))


def test_unmixed_steps_by_hand() -> None:
    # 4 steps: (1.98, 2.02, 0), then (1.32, 1.36, 1.32) with -0.02 due to P and 0.02 to D: the odd batch is D's, then
    # P and B have 0.30 and 0.32 due, so that B's comes next, then P's.
    weights = MixtureWeights(0.33, 0.34, 0.33, "unmixed")
    assert per_task((4, 4, 4, 4), weights) == [(2, 2, 0), (1, 2, 1), (1, 1, 2), (2, 1, 1)]


@given(st.integers(0, 99), st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)).filter(any))
def test_unmixed_batches_of_a_pool_come_at_even_distances(seed: int, counts: tuple[int, int, int]) -> None:
    schedule = spread(seed, 3, counts)
    num_steps = sum(counts)
    assert tuple(np.bincount(schedule, minlength=3)) == counts
    for pool, count in enumerate(counts):
        before = np.cumsum(schedule == pool)
        assert all(abs(before[step] - count * (step + 1) / num_steps) < 3 for step in range(num_steps))


def test_the_seed_shifts_the_schedule() -> None:
    assert len({spread(seed, 1, (20, 20, 20)).tobytes() for seed in range(6)}) > 1


UNMIXED = Mixture(0, BatchSizes(10), MixtureWeights(0.33, 0.34, 0.33, "unmixed"), steps=(4, 30, 50))


# 10, 10, 10 | 16, 16, 16, 16, 6, 6, … | 6, …: the size changes between tasks and within one.
RAMP = BatchSizes(10, ((25, 16), (90, 6)))
RAMPED = [Mixture(0, RAMP, MixtureWeights(0.33, 0.34, 0.33, batches), steps=(3, 30, 50)) for batches in BATCHES]
KINDS = ["unmixed", "mixed", "mixed, ramped", "unmixed, ramped"]


def test_an_unmixed_batch_comes_from_one_pool_and_totals_are_those_of_the_plan() -> None:
    for task, num_steps in enumerate(UNMIXED.steps, 1):
        counts = [UNMIXED.counts(task, step) for step in range(num_steps)]
        assert all(sorted(each) == [0, 0, 10] for each in counts)
        assert tuple(map(sum, zip(*counts, strict=True))) == UNMIXED.totals(task)
    assert UNMIXED.totals(1)[2] == 0 and UNMIXED.totals(2) == (100, 100, 100)


def test_totals_of_mixed_batches_are_counts_times_steps() -> None:
    assert [mixture().totals(task) for task in (1, 2, 3)] == [(20, 20, 0), (12, 9, 9), (20, 15, 15)]


@pytest.mark.parametrize("made", [UNMIXED, Mixture(0, BatchSizes(10), THIRDS, steps=(4, 30, 50)), *RAMPED], ids=KINDS)
def test_every_pool_is_walked_without_a_gap(made: Mixture) -> None:
    p_next = 0
    for task, num_steps in enumerate(made.steps, 1):
        expected = [p_next, 0, 0]
        for step in range(num_steps):
            starts, counts = made.starts(task, step), made.counts(task, step)
            assert list(starts) == expected
            expected = [start + count for start, count in zip(expected, counts, strict=True)]
        p_next = expected[0]


def test_a_pool_with_an_order_of_its_own_gets_its_positions() -> None:
    for task, step in KEYS:
        start, count = mixture().starts(task, step)[0], mixture().counts(task, step)[0]
        drawn = mixture().draws(task, step, (None, *SIZES[task][1:]))
        plain = mixture().draws(task, step, SIZES[task])
        assert drawn[0].tolist() == list(range(start, start + count))
        assert all(np.array_equal(a, b) for a, b in zip(drawn[1:], plain[1:], strict=True))


@given(
    st.integers(2, 40),
    st.lists(st.tuples(st.integers(1, 90), st.integers(2, 40)), max_size=4),
    st.lists(st.integers(0, 12), min_size=1, max_size=6),
    shares(),
    st.sampled_from(BATCHES),
)
def test_batches_of_changing_size_are_shared_out_exactly(
    size: int,
    gaps: list[tuple[int, int]],
    steps: list[int],
    both: tuple[tuple[Fraction, ...], MixtureWeights],
    batches: str,
) -> None:
    """Mixed: PROTOCOL's counts for the size of each batch. Unmixed: whole batches, two behind their shares at most."""
    samples, ramp = 0, []
    for gap, following in gaps:
        samples += gap + 40
        ramp.append((samples, following))
    sizes, exact = BatchSizes(size, tuple(ramp)), both[0]
    made = Mixture(0, sizes, MixtureWeights(*both[1].values, batches), tuple(steps))
    number, due, p_next, largest = 0, [Fraction(0)] * 3, 0, max(sizes.distinct)
    for task, num_steps in enumerate(steps, 1):
        drawn = [p_next, 0, 0]
        for step in range(num_steps):
            counts, now = made.counts(task, step), sizes.of(number)
            assert sum(counts) == now and list(made.starts(task, step)) == drawn
            drawn = [before + count for before, count in zip(drawn, counts, strict=True)]
            if batches == "mixed":
                later = batch_counts(now, made.weights)
                assert counts == (first_task_counts(later) if task == 1 else later)
                assert all(abs(count - now * share) <= 1 for count, share in zip(later, exact, strict=True))
            else:
                assert sorted(counts) == [0, 0, now]
            due = [d + share * now for d, share in zip(due, first(exact) if task == 1 else exact, strict=True)]
            due = [d - count for d, count in zip(due, counts, strict=True)]
            number += 1
        assert made.totals(task) == (drawn[0] - p_next, drawn[1], drawn[2])
        assert batches == "mixed" or all(abs(d) < 2 * largest for d in due)
        p_next = drawn[0]


def test_a_ramp_by_hand() -> None:
    # 10·λ = 3.3, 3.4, 3.3: 4, 3, 3; 16·λ = 5.28, 5.44, 5.28: 6, 5, 5; 6·λ = 1.98, 2.04, 1.98: 2, 3, 1.
    # In task 1 the buffer's 3 go 1 to P and 2 to D. The ramp: 30 samples after task 1, 94 after four steps of 16.
    mixed = RAMPED[BATCHES.index("mixed")]
    assert [mixed.counts(1, step) for step in range(3)] == [(5, 5, 0)] * 3
    assert [mixed.counts(2, step) for step in (0, 3, 4, 29)] == [(6, 5, 5), (6, 5, 5), (2, 3, 1), (2, 3, 1)]
    assert mixed.starts(2, 6) == (15 + 4 * 6 + 2 * 2, 4 * 5 + 2 * 3, 4 * 5 + 2 * 1)
    assert mixed.totals(2) == (4 * 6 + 26 * 2, 4 * 5 + 26 * 3, 4 * 5 + 26 * 1)
    assert mixed.starts(3, 0) == (15 + 76, 0, 0)
