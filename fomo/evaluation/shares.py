"""An evaluation by several ranks: each encodes every N-th batch, and all have the features of all, in order.

The batches are those of one process, so every feature has the bits that it would have there, and so do the scores.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from fomo.data.joined import Joined, SplitPart
from fomo.data.samples import Samples
from fomo.system.ranks import world
from fomo.system.shared_rows import in_turn


def own_samples(splits: Sequence[Samples], batch_size: int) -> list[Samples]:
    """Of each split the samples that lie in this rank's batches, where batches go on from split to split."""
    here = world()
    if here.size == 1:
        return list(splits)
    ends = list(accumulate(map(len, splits)))
    own: list[Samples] = []
    for samples, end in zip(splits, ends, strict=True):
        places = np.arange(end - len(samples), end)
        rows = np.flatnonzero(places // batch_size % here.size == here.rank)
        own.append(Joined((SplitPart(samples, rows),)))
    return own


def of_all(own: Iterator[tuple[int, Tensor]], sizes: Sequence[int], batch_size: int) -> Iterator[tuple[int, Tensor]]:
    """The number of a split, and features of its next images, of all splits in order.

    Args:
        own: The same of this rank's images alone, from :func:`own_samples`.
        sizes: Images of each split.
        batch_size: Images of a batch.
    """
    if world().size == 1:
        yield from own
        return
    starts = range(0, sum(sizes), batch_size)
    edges = list(accumulate(sizes))

    def batch(number: int) -> Tensor:
        wanted = min(batch_size, sum(sizes) - starts[number])
        parts: list[Tensor] = []
        while sum(map(len, parts)) < wanted:
            parts.append(next(own)[1])
        return torch.cat(parts)

    for start, features in zip(starts, in_turn(len(starts), batch), strict=True):
        yield from _by_split(start, features, edges)


def _by_split(start: int, features: Tensor, edges: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """The rows of a batch whose first image is number ``start`` of all, by the split that they are of."""
    stop = start + len(features)
    for split, edge in enumerate(edges):
        first = max(start, edges[split - 1] if split else 0)
        last = min(stop, edge)
        if first < last:
            yield split, features[first - start : last - start]
