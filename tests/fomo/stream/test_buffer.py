"""What a bounded buffer keeps, against the definition of each policy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.errors import FomoError
from fomo.stream.buffer import POLICIES, Buffer, class_quotas


@st.composite
def classes_by_task(draw: st.DrawFn) -> list[np.ndarray]:
    """Classes of the samples of a few tasks; a class stands in one task alone."""
    tasks, next_class = [], 0
    for _ in range(draw(st.integers(1, 5))):
        counts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
        tasks.append(np.repeat(np.arange(next_class, next_class + len(counts)), counts))
        next_class += len(counts)
    return tasks


@given(st.sampled_from(sorted(POLICIES)), st.integers(0, 9), st.integers(1, 60), classes_by_task())
def test_a_buffer_holds_its_capacity_of_samples_that_were_seen(
    policy: str, seed: int, capacity: int, tasks: list[np.ndarray]
) -> None:
    classes = np.concatenate(tasks)
    kept = np.asarray(Buffer(capacity, policy).kept(seed, classes))
    assert len(kept) == min(capacity, len(classes))
    assert np.all(np.diff(kept) > 0) and (not len(kept) or (kept[0] >= 0 and kept[-1] < len(classes)))


@given(st.sampled_from(sorted(POLICIES)), st.integers(0, 9), st.integers(1, 40), classes_by_task())
def test_what_was_dropped_never_comes_back(policy: str, seed: int, capacity: int, tasks: list[np.ndarray]) -> None:
    """A real buffer sees a sample once: it could hold the same."""
    buffer, before, num_before = Buffer(capacity, policy), set[int](), 0
    for task in range(1, len(tasks) + 1):
        classes = np.concatenate(tasks[:task])
        kept = set(map(int, buffer.kept(seed, classes)))
        assert kept <= before | set(range(num_before, len(classes)))
        before, num_before = kept, len(classes)


def test_without_a_capacity_everything_is_kept() -> None:
    assert Buffer().kept(0, np.zeros(7)) == range(7) and Buffer(7, "ring").kept(0, np.zeros(7)) == range(7)
    assert len(Buffer().kept(0, np.zeros(0))) == 0


def test_a_ring_keeps_the_latest() -> None:
    assert list(Buffer(3, "ring").kept(5, np.zeros(10))) == [7, 8, 9]


@pytest.mark.parametrize("policy", ["reservoir", "class_balanced"])
def test_every_sample_has_the_same_chance(policy: str) -> None:
    """Inclusion is capacity/n by closed form; the sum of squared deviations of 20 counts is chi-squared."""
    seeds, n, capacity = 3000, 20, 6
    hits = np.zeros(n)
    for seed in range(seeds):
        hits[np.asarray(Buffer(capacity, policy).kept(seed, np.zeros(n, dtype=int)))] += 1
    share = capacity / n
    # Counts of a fixed sum are slightly dependent: (n - 1) degrees of freedom; 43.8 is their 99.9 % quantile.
    statistic = np.sum((hits - seeds * share) ** 2) / (seeds * share * (1 - share)) * (n - 1) / n
    assert statistic < 43.8
    assert hits.sum() == seeds * capacity


def test_pairs_of_samples_are_kept_as_by_a_uniform_choice() -> None:
    n, capacity, seeds = 8, 3, 4000
    together = np.zeros((n, n))
    for seed in range(seeds):
        kept = np.asarray(Buffer(capacity, "reservoir").kept(seed, np.zeros(n, dtype=int)))
        together[np.ix_(kept, kept)] += 1
    expected = capacity * (capacity - 1) / (n * (n - 1))
    pairs = together[np.triu_indices(n, 1)] / seeds
    assert np.all(np.abs(pairs - expected) < 5 * np.sqrt(expected * (1 - expected) / seeds))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_quotas_differ_by_one_at_most_where_there_are_enough(counts: list[int], data: st.DataObject) -> None:
    capacity = data.draw(st.integers(1, sum(counts)).filter(lambda c: c < sum(counts) or c == 1))
    if capacity == sum(counts):
        return
    quotas = class_quotas(np.array(counts), capacity, np.random.default_rng(0).random(len(counts)))
    assert quotas.sum() == capacity and np.all(quotas <= counts) and np.all(quotas >= 0)
    assert all(q == c or q >= quotas.max() - 1 for q, c in zip(quotas, counts, strict=True))


def test_quotas_by_hand() -> None:
    keys = np.array([0.9, 0.1, 0.5, 0.2])
    assert class_quotas(np.array([2, 9, 9, 1]), 10, keys).tolist() == [2, 4, 3, 1]
    assert class_quotas(np.array([5, 5, 5, 5]), 2, keys).tolist() == [0, 1, 0, 1]


@given(st.integers(0, 20), st.integers(1, 60), classes_by_task())
def test_a_balanced_buffer_has_its_quota_of_each_class(seed: int, capacity: int, tasks: list[np.ndarray]) -> None:
    classes = np.concatenate(tasks)
    kept = np.asarray(Buffer(capacity, "class_balanced").kept(seed, classes))
    have, there = np.bincount(classes[kept], minlength=classes[-1] + 1), np.bincount(classes)
    assert all(h == n or h >= have.max() - 1 for h, n in zip(have, there, strict=True))


@pytest.mark.parametrize("policy", ["reservoir", "class_balanced"])
def test_a_seed_chooses(policy: str) -> None:
    classes = np.arange(100) // 10
    kept = [np.asarray(Buffer(30, policy).kept(seed, classes)).tolist() for seed in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]


@pytest.mark.parametrize(
    ("capacity", "policy", "texts"),
    [
        (0, "ring", ["buffer.capacity=0", "1 and above", "null", "mixture.buffer=0"]),
        (-5, "ring", ["buffer.capacity=-5"]),
        (10, "resevoir", ["'resevoir'", "Did you mean 'reservoir'", "class_balanced, reservoir, ring"]),
    ],
)
def test_bad_settings_are_refused(capacity: int, policy: str, texts: list[str]) -> None:
    with pytest.raises(FomoError) as caught:
        Buffer(capacity, policy)
    assert all(text in str(caught.value) for text in texts), caught.value
