"""Orders by nothing, by dataset and by time."""

from collections.abc import Mapping, Sequence

from fomo import rng
from fomo.errors import FomoError
from fomo.stream.definition import Concept


def shuffled(concepts: Sequence[Concept], seed: int) -> list[Concept]:
    """The concepts in a seeded random order (the paper's default)."""
    return [concepts[index] for index in rng.generator(seed, "ordering").permutation(len(concepts))]


def by_dataset(concepts: Sequence[Concept], seed: int) -> list[Concept]:
    """The concepts, datasets one after the other in a seeded random order, the concepts of each shuffled."""
    parts: dict[str, list[Concept]] = {}
    for concept in shuffled(concepts, seed):
        parts.setdefault(concept.dataset, []).append(concept)
    names = sorted(parts)
    order = rng.generator(seed, "ordering of datasets").permutation(len(names))
    return [concept for index in order for concept in parts[names[index]]]


def by_time(concepts: Sequence[Concept], seed: int, groups: Mapping[str, int], whole_datasets: bool) -> list[Concept]:
    """The concepts from the oldest time group to the newest.

    Args:
        concepts: what is ordered.
        seed: of the order within a time group.
        groups: time group of each dataset.
        whole_datasets: whether datasets are kept whole within a time group; else concepts are mixed.

    Raises:
        FomoError: a dataset has no time group.
    """
    unknown = sorted({concept.dataset for concept in concepts} - set(groups))
    if unknown:
        shown = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
        raise FomoError(
            f"no time group is known for {len(unknown)} datasets ({shown}). "
            'Give them in a JSON file, {"NAME": number}: `fomo stream build … --time-groups FILE`.'
        )
    mixed = by_dataset(concepts, seed) if whole_datasets else shuffled(concepts, seed)
    return sorted(mixed, key=lambda concept: groups[concept.dataset])
