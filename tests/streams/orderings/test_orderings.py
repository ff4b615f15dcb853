"""Every ordering: a permutation, the same for the same seed, its reverse the reverse; then what each means."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.errors import FomoError
from fomo.stream.definition import Concept
from streams.orderings import FORWARD, NEEDS, ORDERINGS, Facts, check_ordering, declared_time_groups, order

DATASETS = ("first", "second", "third", "fourth")
GROUPS = {"first": 3, "second": 1, "third": 1, "fourth": 0}
CONCEPTS = st.lists(
    st.builds(Concept, st.sampled_from(DATASETS), st.text("abcdef", min_size=1, max_size=2)), unique=True, min_size=1
)


def number(concept: Concept) -> int:
    """Something that depends on the concept alone."""
    return sum(map(ord, str(concept))) % 7


def features(concepts: Sequence[Concept]) -> np.ndarray:
    angles = np.array([hash_of(concept) for concept in concepts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def hash_of(concept: Concept) -> float:
    return sum(ord(sign) * 31**place for place, sign in enumerate(str(concept))) % 1000 / 1000 * np.pi


def values(concepts: Sequence[Concept]) -> np.ndarray:
    return np.array([number(concept) for concept in concepts], dtype=float)


FACTS = Facts(lambda: GROUPS, accuracy=values, alignment=values, occurrences=values, features=features)
MANY = [Concept(name, str(label)) for name in DATASETS for label in range(12)]


@pytest.mark.parametrize("name", ORDERINGS)
@given(CONCEPTS, st.integers(0, 5))
def test_an_ordering_is_a_permutation_that_follows_from_its_arguments(
    name: str, concepts: list[Concept], seed: int
) -> None:
    ordered = order(name, concepts, seed, FACTS)
    assert sorted(ordered) == sorted(concepts)
    assert ordered == order(name, concepts, seed, FACTS)


@pytest.mark.parametrize("name", FORWARD)
def test_the_reverse_is_the_reverse(name: str) -> None:
    forward = order(name, MANY, 3, FACTS)
    assert order(f"reverse_{name}", MANY, 3, FACTS) == forward[::-1] != forward


@pytest.mark.parametrize("name", sorted(set(FORWARD) - {"given", "similarity"}))
def test_the_seed_matters(name: str) -> None:
    assert len({tuple(order(name, MANY, seed, FACTS)) for seed in range(4)}) == 4


@pytest.mark.parametrize("name", ["performance", "alignment", "frequency"])
def test_values_do_not_depend_on_how_concepts_were_listed(name: str) -> None:
    assert order(name, MANY, 0, FACTS) == order(name, MANY[::-1], 0, FACTS)


def test_alignment_goes_from_near_to_far() -> None:
    near_first = [number(concept) for concept in order("alignment", MANY, 0, FACTS)]
    assert near_first == sorted(near_first, reverse=True) != sorted(near_first)


def test_performance_goes_from_easy_to_hard_and_frequency_from_rare_to_frequent() -> None:
    easy_first = [number(concept) for concept in order("performance", MANY, 0, FACTS)]
    rare_first = [number(concept) for concept in order("frequency", MANY, 0, FACTS)]
    assert easy_first == sorted(easy_first, reverse=True) and rare_first == sorted(rare_first)


def test_a_value_that_is_none_is_refused_by_its_concept() -> None:
    facts = Facts(accuracy=lambda concepts: np.array([0.5, np.nan]))
    with pytest.raises(FomoError, match=r"'first\+\+\+1'"):
        order("performance", MANY[:2], 0, facts)


def runs(concepts: Sequence[Concept], key: Mapping[str, object] | None = None) -> list[object]:
    """Datasets, or what ``key`` says of them, without repetitions of neighbours."""
    return [value for value, _ in itertools.groupby(key[c.dataset] if key else c.dataset for c in concepts)]


def test_dataset_incremental_keeps_datasets_whole_and_shuffles_them() -> None:
    orders = {tuple(runs(order("dataset_incremental", MANY, seed, FACTS))) for seed in range(8)}
    assert all(sorted(each) == sorted(DATASETS) for each in orders) and len(orders) > 2
    first = [c.name for c in order("dataset_incremental", MANY, 0, FACTS) if c.dataset == "first"]
    assert first != sorted(first, key=int)


def test_time_incremental_goes_through_the_groups_and_mixes_within_one() -> None:
    mixed = order("time_incremental", MANY, 0, FACTS)
    assert runs(mixed, GROUPS) == [0, 1, 3]
    assert len(runs(mixed)) > 4
    whole = order("time_incremental_datasets", MANY, 0, FACTS)
    assert runs(whole, GROUPS) == [0, 1, 3] and sorted(runs(whole), key=str) == sorted(DATASETS)


def test_datasets_without_a_time_group_are_named() -> None:
    with pytest.raises(FomoError, match=r"2 datasets \(fourth, second\).*--time-groups"):
        order("time_incremental", MANY, 0, Facts(lambda: {"first": 0, "third": 1}))


def test_the_catalogue_gives_time_groups_to_all_datasets_to_adapt_to() -> None:
    groups = declared_time_groups()
    assert len(groups) == 41 and groups["FLOWERS102"] == 0 and groups["QUILT"] == 14 and "MNIST" not in groups


def test_similar_concepts_stand_side_by_side() -> None:
    """Points on half a circle: the short path walks along it."""
    angles = [hash_of(concept) for concept in order("similarity", MANY, 0, FACTS)]
    assert angles in (sorted(angles), sorted(angles, reverse=True))


def test_the_lengths_of_the_path_are_told() -> None:
    told: dict[str, float] = {}
    order("similarity", MANY, 0, Facts(features=features, on_lengths=told.update))
    random, _, best, improved = told.values()
    assert improved <= best <= random


def test_an_unknown_ordering_is_named_with_its_nearest() -> None:
    with pytest.raises(FomoError, match=r"stream\.ordering 'simlarity'. Did you mean 'similarity'"):
        order("simlarity", MANY, 0, FACTS)


@pytest.mark.parametrize("name", [f"{prefix}{name}" for name in NEEDS for prefix in ("", "reverse_")])
def test_what_is_not_at_hand_has_a_way_out(name: str) -> None:
    with pytest.raises(FomoError, match=rf"ordering={name} needs .*fomo stream build … ordering={name}.*stream=file"):
        check_ordering(name, Facts())
