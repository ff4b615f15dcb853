"""Random streams are told apart by every key, and come back in every process."""

import os
import subprocess
import sys
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo import rng

KEYS = st.lists(st.integers(-(10**6), 10**6) | st.text(max_size=4), max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 23), (12, 3)),
        ((1,), ("1",)),
        ((1, 2), (2, 1)),
        (("a", "b"), ("ab",)),
        (("a", ""), ("a",)),
        ((), ("",)),
        ((0,), ()),
        ((0,), (-0, 0)),
        (("a\x1fstr:b",), ("a", "b")),
        (("a\x1f", "b"), ("a", "\x1fb")),
    ],
)
def test_fold_tells_keys_apart(one: tuple[rng.Key, ...], other: tuple[rng.Key, ...]) -> None:
    assert rng.fold(*one) != rng.fold(*other)


@given(KEYS, KEYS)
def test_other_keys_fold_to_another_number(one: tuple[rng.Key, ...], other: tuple[rng.Key, ...]) -> None:
    assert (rng.fold(*one) == rng.fold(*other)) == (one == other)


def test_fold_has_128_bits() -> None:
    folded = [rng.fold(number) for number in range(200)]
    assert max(folded).bit_length() == 128 and all(0 <= each < 2**128 for each in folded)


def test_a_generator_comes_back_and_is_independent_of_others() -> None:
    first = rng.generator(0, "order", 3).random(5).tolist()
    other = rng.generator(0, "other")
    other.random(100)
    assert rng.generator(0, "order", 3).random(5).tolist() == first


def test_generators_of_other_keys_differ() -> None:
    keys = [(0, "a", 0), (0, "a", 1), (1, "a", 0), (0, "b", 0)]
    drawn = [rng.generator(*key).random(8).tolist() for key in keys]
    assert all(one != other for one, other in combinations(drawn, 2))


def test_another_process_draws_the_same() -> None:
    code = "from fomo import rng; print(rng.generator(7, 'order', 'é', 2).integers(0, 10**9, 4).tolist())"
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert shown.stdout.strip() == str(rng.generator(7, "order", "é", 2).integers(0, 10**9, 4).tolist())
