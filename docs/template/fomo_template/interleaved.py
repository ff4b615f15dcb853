"""An ordering: one concept of each dataset in turn."""

from collections import Counter


def interleaved(concepts, seed, facts):
    """Return the first concept of every dataset, then the second of every dataset, and so on."""
    seen = Counter()
    turns = []
    for concept in concepts:
        turns.append((seen[concept.dataset], concept))
        seen[concept.dataset] += 1
    return [concept for _, concept in sorted(turns, key=lambda pair: pair[0])]
