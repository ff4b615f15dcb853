"""A short Hamiltonian path through points: similar concepts stand side by side.

Nearest neighbour from several starts, the best of which is improved by 2-opt and Or-opt moves over neighbour lists
until none helps (Bentley 1992, Fast Algorithms for Geometric Traveling Salesman Problems). The distance of unit vectors
is 1 − cosine. No n × n matrix is held: 18,381 points take some hundred MB. A dummy point at distance 0 from all others
turns the open path into a tour, so that its ends need no case of their own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fomo import rng

NUM_STARTS = 8
NUM_NEIGHBORS = 24
LONGEST_SEGMENT = 3
MAX_ROUNDS = 60
BLOCK = 1024
EPSILON = 1e-9


@dataclass(frozen=True)
class ShortPath:
    """``order`` int64 [n], and the length of the path at each stage of the search, a random one first."""

    order: np.ndarray
    lengths: dict[str, float]


def short_path(features: np.ndarray, seed: int, on_stage: Callable[[str], None] = lambda stage: None) -> ShortPath:
    """A path through all rows of ``features`` [n, d], unit vectors; at least one. ``on_stage`` hears what goes on."""
    num_points = len(features)
    points = _Points(features)
    shuffle = rng.generator(seed, "ordering by similarity").permutation(num_points)
    if num_points < 3:
        return ShortPath(shuffle, {"random order": points.length(shuffle)})
    on_stage("looking for nearest neighbours")
    neighbors = nearest(features, min(NUM_NEIGHBORS, num_points - 1))
    paths = []
    for number, start in enumerate(shuffle[:NUM_STARTS], start=1):
        on_stage(f"nearest neighbour, start {number}")
        paths.append(nearest_neighbor_path(features, neighbors, int(start)))
    lengths = [points.length(path) for path in paths]
    on_stage("shortening the best path")
    improved = improve(points, neighbors, paths[int(np.argmin(lengths))])
    return ShortPath(
        improved,
        {
            "random order": points.length(shuffle),
            "nearest neighbour, mean over starts": float(np.mean(lengths)),
            f"nearest neighbour, best of {len(paths)} starts": min(lengths),
            "2-opt and Or-opt": points.length(improved),
        },
    )


class _Points:
    """n points, and a dummy of number n, whose distance to all points is 0."""

    def __init__(self, features: np.ndarray) -> None:
        self.features = np.pad(features.astype(np.float32), ((0, 1), (0, 0)))
        self.dummy = len(features)

    def distance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Distance of a[i] and b[i], float64 [m]."""
        result = np.empty(len(a))
        for start in range(0, len(a), 16 * BLOCK):
            rows = slice(start, start + 16 * BLOCK)
            result[rows] = 1 - np.einsum("id,id->i", self.features[a[rows]], self.features[b[rows]])
        result[(a == self.dummy) | (b == self.dummy)] = 0
        return result.clip(min=0)

    def length(self, path: np.ndarray) -> float:
        """Sum of the distances along a path."""
        return float(self.distance(path[:-1], path[1:]).sum())


def nearest(features: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` nearest points of each, nearest first: int64 [n, count]. Computed in blocks of rows."""
    found = np.empty((len(features), count), dtype=np.int64)
    for start in range(0, len(features), BLOCK):
        similar = features[start : start + BLOCK] @ features.T
        rows = np.arange(len(similar))
        similar[rows, start + rows] = -np.inf
        top = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        ranks = np.argsort(-np.take_along_axis(similar, top, axis=1), axis=1, kind="stable")
        found[start : start + BLOCK] = np.take_along_axis(top, ranks, axis=1)
    return found


def nearest_neighbor_path(features: np.ndarray, neighbors: np.ndarray, start: int) -> np.ndarray:
    """A path from ``start`` on, always to the nearest point that is not visited: int64 [n].

    The neighbour list answers nearly always; else all points that are left are looked at.
    """
    visited = np.zeros(len(features), dtype=bool)
    path = np.empty(len(features), dtype=np.int64)
    left = np.arange(len(features))
    left_features = features
    here = start
    for place in range(len(features)):
        path[place] = here
        visited[here] = True
        free = neighbors[here][~visited[neighbors[here]]]
        if len(free):
            here = int(free[0])
        elif place + 1 < len(features):
            if 2 * (len(features) - place - 1) < len(left):
                left = left[~visited[left]]
                left_features = features[left]
            similar = left_features @ features[here]
            similar[visited[left]] = -np.inf
            here = int(left[similar.argmax()])
    return path


class _Tour:
    """A cyclic order of all points and the dummy, and the place of each of them in it."""

    def __init__(self, order: np.ndarray) -> None:
        self.order = order.copy()
        self.place = np.argsort(order)

    def beside(self, points: np.ndarray, step: int) -> np.ndarray:
        """The points that stand ``step`` places behind ``points`` in the tour."""
        return self.order[(self.place[points] + step) % len(self.order)]

    def put(self, start: int, points: np.ndarray) -> None:
        """Write ``points`` from place ``start`` on."""
        self.order[start : start + len(points)] = points
        self.place[points] = np.arange(start, start + len(points))


class Move(NamedTuple):
    """A change of the tour that shortens it by ``gain``.

    With ``size`` 0 it is a 2-opt move: ``a`` and ``c`` become neighbours, and so do the two points that stood on their
    side ``step``. Else it is an Or-opt move: the ``size`` points from ``a`` on in direction ``inward`` go between ``c``
    and the point on its side ``step``, ``a`` beside ``c``.
    """

    gain: float
    size: int
    a: int
    c: int
    step: int
    inward: int


def improve(points: _Points, neighbors: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Apply moves that shorten the path, the best first, until there is none: int64 [n]."""
    tour = _Tour(np.append(path, points.dummy))
    for _ in range(MAX_ROUNDS):
        moves = sorted(_candidates(points, neighbors, tour), key=lambda move: -move.gain)
        if not sum((_or_opt if move.size else _two_opt)(points, tour, move) for move in moves):
            break
    cut = int(tour.place[points.dummy])
    return np.concatenate([tour.order[cut + 1 :], tour.order[:cut]])


def _candidates(points: _Points, neighbors: np.ndarray, tour: _Tour) -> Iterator[Move]:
    a = np.arange(points.dummy)
    for step in (1, -1):
        b = tour.beside(a, step)
        yield from _shortening(points, neighbors, tour, a, points.distance(a, b), b, (0, step, 0), (step,))
    for inward in (1, -1):
        for size in range(1, LONGEST_SEGMENT + 1):
            before, end, after = (tour.beside(a, inward * k) for k in (-1, size - 1, size))
            freed = points.distance(before, a) + points.distance(end, after) - points.distance(before, after)
            yield from _shortening(points, neighbors, tour, a, freed, end, (size, 0, inward), (1, -1))


def _shortening(
    points: _Points, neighbors: np.ndarray, tour: _Tour, a: np.ndarray, freed: np.ndarray, other: np.ndarray,
    kind: tuple[int, int, int], steps: tuple[int, ...],
) -> Iterator[Move]:  # fmt: skip
    """Moves that put a point beside a near one c, and another beside c's neighbour d, where that gains.

    Args:
        points: where the points are.
        neighbors: the nearest points of each, int64 [n, k].
        tour: the present order.
        a: the points that are moved, int64 [n].
        freed: length that is gained where a point is taken away, float64 [n].
        other: the points that come beside d, int64 [n].
        kind: size, step and direction of the moves.
        steps: on which sides of c there may be d.
    """
    near = points.distance(np.repeat(a, neighbors.shape[1]), neighbors.ravel()).reshape(neighbors.shape)
    rows, columns = np.nonzero(near < freed[:, None] - EPSILON)
    c = neighbors[rows, columns]
    for step in steps:
        d = tour.beside(c, step)
        gains = freed[rows] - near[rows, columns] + points.distance(c, d) - points.distance(other[rows], d)
        size, _, inward = kind
        for index in np.flatnonzero(gains > EPSILON):
            yield Move(float(gains[index]), size, int(a[rows[index]]), int(c[index]), step, inward)


def _gain(points: _Points, old: list[tuple[int, int]], new: list[tuple[int, int]]) -> float:
    pairs = np.array(old + new)
    distances = points.distance(pairs[:, 0], pairs[:, 1])
    return float(distances[: len(old)].sum() - distances[len(old) :].sum())


def _two_opt(points: _Points, tour: _Tour, move: Move) -> bool:
    """Apply a 2-opt move if it still gains, and whether it did: moves before it may have changed its surroundings."""
    a = move.a
    c = move.c
    b, d = (int(point) for point in tour.beside(np.array([a, c]), move.step))
    if b == c or d == a or _gain(points, [(a, b), (c, d)], [(a, c), (b, d)]) <= EPSILON:
        return False
    first, last = sorted((int(tour.place[a]), int(tour.place[c])))
    start, stop = (first + 1, last + 1) if move.step == 1 else (first, last)
    tour.put(start, tour.order[start:stop][::-1].copy())
    return True


def _or_opt(points: _Points, tour: _Tour, move: Move) -> bool:
    """Apply an Or-opt move if it still gains, and whether it did: moves before it may have changed its surroundings."""
    a = move.a
    c = move.c
    places = (tour.place[a] + move.inward * np.arange(-1, move.size + 1)) % len(tour.order)
    before, *segment, after = (int(point) for point in tour.order[places])
    d = int(tour.beside(np.array([c]), move.step)[0])
    if c in segment or d in segment or points.dummy in segment:
        return False
    end = segment[-1]
    if _gain(points, [(before, a), (end, after), (c, d)], [(before, after), (c, a), (d, end)]) <= EPSILON:
        return False
    rest = tour.order[~np.isin(tour.order, segment)]
    place = int(np.flatnonzero(rest == c)[0])
    cut, part = (place + 1, segment) if move.step == 1 else (place, segment[::-1])
    tour.put(0, np.concatenate([rest[:cut], part, rest[cut:]]))
    return True
