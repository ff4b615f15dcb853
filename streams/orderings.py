"""In which order a stream goes through its concepts."""

from collections.abc import Callable, Sequence

from fomo import rng
from fomo.stream import Concept

Ordering = Callable[[Sequence[Concept], int], list[Concept]]


def shuffled(concepts: Sequence[Concept], seed: int) -> list[Concept]:
    """A seeded random order (the paper's default)."""
    order = rng.generator(seed, "ordering").permutation(len(concepts))
    return [concepts[index] for index in order]


def given(concepts: Sequence[Concept], seed: int) -> list[Concept]:
    """As they were listed."""
    return list(concepts)


ORDERINGS: dict[str, Ordering] = {"random": shuffled, "given": given}
