"""What a step is made from: a batch, and the features that the network returns for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from fomo.data.drawn import Source
from fomo.errors import FomoError
from fomo.system.ranks import world

UNKNOWN = -1


class Features(NamedTuple):
    """What the network returns for a batch: unit features of ``images`` and of ``texts`` [b, d], and the ``scale`` [].

    The network is open_clip's CLIP. ``network(images, tokens)`` returns these three; one tower alone is
    ``network.encode_image(images, normalize=True)`` or ``network.encode_text(tokens, normalize=True)``, which return
    unit features, and without ``normalize`` features of any length. ``scale`` is ``network.logit_scale.exp()``, the
    inverse of the temperature; the logits of images to texts are ``scale * (images @ texts.T)``.
    """

    images: Tensor
    texts: Tensor
    scale: Tensor


class Cut(NamedTuple):
    """That behind the first ``num_tokens`` of some ``tokens`` there is only padding that no feature depends on.

    It is true of them and of their rows as long as nobody writes to them, which ``version`` tells.
    """

    num_tokens: int
    tokens: Tensor
    version: int

    def holds(self, tokens: Tensor) -> bool:
        """Whether it is true of ``tokens`` [b, l]."""
        same = _whole(tokens) is _whole(self.tokens) and tokens.shape[1] == self.tokens.shape[1]
        return same and not tokens.is_inference() and tokens._version == self.version


def cut_at(num_tokens: int, tokens: Tensor) -> Cut | None:
    """The cut of tokens that nobody has written to yet; ``None`` where that could not be told (inference mode)."""
    return None if tokens.is_inference() else Cut(num_tokens, tokens, tokens._version)


def _whole(tensor: Tensor) -> Tensor:
    """What a tensor is a view of."""
    return tensor if tensor._base is None else tensor._base


@dataclass(frozen=True)
class Batch:
    """One training batch on the device, the rows of P, D_t and B one after the other.

    ``images`` [b, 3, h, w] are normalised, ``tokens`` [b, l] are padded with 0; ``counts`` are the rows of each pool.
    ``cut`` says where the texts end, if that is known.
    ``features`` are those that the contrastive loss of the step rests on, with gradient; there in ``loss`` alone.

    Where several processes take the steps of a run, each has its own rows of the batch here; ``whole`` are the counts
    of all of them together, and ``features`` [n, d] are of all n rows. ``fomo.gathered`` makes all rows of one's own,
    and :attr:`rows` says which these are.

    Where each row is from say :attr:`labels`, :attr:`tasks`, :attr:`datasets` and :attr:`samples`, int64 [b] on the
    device, views of ``sources`` [b, 4]; -1 is what a row does not have. They are the same for a sample throughout the
    run, in whatever task, worker or process; the pair of dataset and sample names it.
    """

    images: Tensor
    tokens: Tensor
    counts: tuple[int, int, int]
    features: Features | None = None
    sources: Tensor = None  # type: ignore[assignment]  # unknown, where a batch is made by hand
    cut: Cut | None = None
    whole: tuple[int, int, int] = None  # type: ignore[assignment]  # the counts, where one process has all rows

    def __post_init__(self) -> None:
        if self.whole is None:
            object.__setattr__(self, "whole", self.counts)
        if self.sources is None:
            shape = (len(self.images), len(Source._fields))
            object.__setattr__(self, "sources", torch.full(shape, UNKNOWN, device=self.images.device))

    @property
    def num_rows(self) -> int:
        """Rows of the batch, those of other processes included."""
        return sum(self.whole)

    @property
    def rows(self) -> range:
        """Which of the batch's rows are here, in order; its ``step`` is the number of processes that have one each."""
        if self.whole == self.counts:
            return range(len(self.images))
        return range(self.num_rows)[world().rows(self.num_rows)]

    @property
    def short_tokens(self) -> Tensor:
        """The tokens without the padding that is known to be behind all texts, [b, l or fewer]."""
        return self.tokens[:, : self.cut.num_tokens] if self.cut and self.cut.holds(self.tokens) else self.tokens

    @property
    def labels(self) -> Tensor:
        """The concept of each row, an index into ``task.concepts``; -1 for rows of P."""
        return self.sources[:, 0]

    @property
    def tasks(self) -> Tensor:
        """The task (from 1) that each row was new in; -1 for rows of P."""
        return self.sources[:, 1]

    @property
    def datasets(self) -> Tensor:
        """The dataset of each row, an index into ``task.datasets``."""
        return self.sources[:, 2]

    @property
    def samples(self) -> Tensor:
        """The number of each row's sample in its dataset."""
        return self.sources[:, 3]

    def split(self, size: int) -> Iterator["Batch"]:
        """The rows ``size`` at a time, each piece with its own counts, and features where there are any.

        Where several processes have the batch, a piece has ``size`` rows of all of them together, as one would have it.

        Raises:
            FomoError: the processes cannot have as many rows of a piece each.
        """
        ranks = world().size if self.whole != self.counts else 1
        if size % ranks and size < self.num_rows:
            raise FomoError(
                f"batch.split({size}): each of {ranks} processes has as many rows of a piece: give a multiple of "
                f"{ranks}, or {self.num_rows} for all rows."
            )
        for start in range(0, self.num_rows, size):
            every = slice(start, start + size)
            own = slice(start // ranks, -(-(start + size) // ranks))
            yield self._cut(every, own)

    def pieces(self, sizes: Sequence[int]) -> Iterator["Batch"]:
        """Pieces of so many rows each, of a batch whose rows one process has."""
        for start, size in zip(accumulate(sizes, initial=0), sizes, strict=False):
            rows = slice(start, start + size)
            yield self._cut(rows, rows)

    def _cut(self, every: slice, own: slice) -> "Batch":
        """Some of the rows: of all processes together those in ``every``, here those in ``own``."""
        features = self.features and self.features._replace(
            images=self.features.images[every], texts=self.features.texts[every]
        )
        return replace(
            self,
            images=self.images[own],
            tokens=self.tokens[own],
            counts=_rows_in(own, self.counts),
            whole=_rows_in(every, self.whole),
            features=features,
            sources=self.sources[own],
        )


def _rows_in(rows: slice, counts: tuple[int, int, int]) -> tuple[int, int, int]:
    """The rows of P, D_t and B among some of a batch that has ``counts`` of them."""
    ends = accumulate(counts)
    p, d, b = (
        max(0, min(rows.stop, end) - max(rows.start, end - count)) for end, count in zip(ends, counts, strict=True)
    )
    return p, d, b
