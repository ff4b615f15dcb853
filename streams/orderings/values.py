"""Orders by a number for each concept."""

from collections.abc import Sequence

import numpy as np

from fomo import rng
from fomo.errors import FomoError
from fomo.stream.definition import Concept


def by_value(concepts: Sequence[Concept], seed: int, values: np.ndarray) -> list[Concept]:
    """The concepts from the smallest of ``values`` [n] to the largest; those of equal value in a seeded random order.

    Raises:
        FomoError: a value is NaN.
    """
    if np.isnan(values).any():
        first = concepts[int(np.isnan(values).argmax())]
        raise FomoError(f"there is no value for {int(np.isnan(values).sum())} concepts, the first is '{first}'.")
    # Ties must not follow the order in which concepts were listed: sort by name, shuffle, then sort stably by value.
    names = sorted(range(len(concepts)), key=lambda index: concepts[index])
    mixed = np.array(names, dtype=np.int64)[rng.generator(seed, "ordering of equals").permutation(len(names))]
    return [concepts[index] for index in mixed[np.argsort(values[mixed], kind="stable")]]
