"""Short paths: against brute force, against nearest neighbour and random order, and on points whose path is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.orderings import path as module
from streams.orderings.path import nearest, nearest_neighbor_path, short_path


def directions(seed: int, count: int, size: int = 4) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((count, size))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def length(features: np.ndarray, path: np.ndarray) -> float:
    """Independent of the module: sum of 1 − cosine."""
    points = features.astype(np.float64)
    return float(sum(1 - points[a] @ points[b] for a, b in itertools.pairwise(path)))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(3, 7))
def test_no_path_is_shorter_than_the_best_and_ours_is_near_it(seed: int, count: int) -> None:
    features = directions(seed, count)
    best = min(length(features, np.array(each)) for each in itertools.permutations(range(count)))
    found = short_path(features, seed)
    ours = length(features, found.order)
    assert sorted(found.order) == list(range(count))
    assert best - 1e-5 <= ours <= 1.15 * best + 1e-5
    assert ours == pytest.approx(list(found.lengths.values())[-1], abs=1e-5)


def test_brute_force_is_mostly_met() -> None:
    met = 0
    for seed in range(30):
        features = directions(seed, 7)
        best = min(length(features, np.array(each)) for each in itertools.permutations(range(7)))
        met += length(features, short_path(features, 0).order) <= best + 1e-5
    assert met >= 24


@pytest.mark.parametrize("seed", range(5))
def test_each_stage_is_shorter_than_the_one_before(seed: int) -> None:
    features = directions(seed, 150, 8)
    found = short_path(features, seed)
    random, mean, best, improved = found.lengths.values()
    assert improved < best <= mean < random
    neighbors = nearest(features, module.NUM_NEIGHBORS)
    single = length(features, nearest_neighbor_path(features, neighbors, 0))
    assert length(features, found.order) < single


def test_points_on_an_arc_are_walked_from_end_to_end() -> None:
    angles = np.random.default_rng(0).permutation(np.linspace(0, 2.5, 80))
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    walked = angles[short_path(features, 0).order]
    assert np.array_equal(walked, np.sort(walked)) or np.array_equal(walked[::-1], np.sort(walked))


def test_neighbours_are_the_nearest_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    features = directions(1, 70)
    similar = features @ features.T - 2 * np.eye(70)
    expected = np.sort(similar, axis=1)[:, :-6:-1]
    for block in (1, 13, 70, 1024):
        monkeypatch.setattr(module, "BLOCK", block)
        found = nearest(features, 5)
        assert np.allclose(np.take_along_axis(similar, found, axis=1), expected, atol=1e-6)


def test_the_greedy_path_is_greedy_where_the_neighbour_list_ends() -> None:
    """With a list of one the fallback does nearly all the work: compared with a plain loop."""
    features = directions(2, 40)
    similar = features.astype(np.float64) @ features.T.astype(np.float64)
    path, left = [7], set(range(40)) - {7}
    while left:
        path.append(max(left, key=lambda point: similar[path[-1], point]))
        left.remove(path[-1])
    for count in (1, 3, 39):
        assert nearest_neighbor_path(features, nearest(features, count), 7).tolist() == path


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_points_are_a_path_too(count: int) -> None:
    assert sorted(short_path(directions(0, count), 0).order) == list(range(count))


def test_equal_points_are_no_trouble() -> None:
    features = np.repeat(directions(0, 5), 20, axis=0)
    found = short_path(features, 0)
    runs = [key for key, _ in itertools.groupby(found.order // 20)]
    assert sorted(found.order) == list(range(100)) and sorted(runs) == list(range(5))
