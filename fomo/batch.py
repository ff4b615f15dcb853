"""What a step is made from: a batch, and the features that the network returns for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from fomo.data.drawn import Source

UNKNOWN = -1


class Features(NamedTuple):
    """What the network returns for a batch: unit features of ``images`` and of ``texts`` [b, d], and the ``scale`` [].

    The network is open_clip's CLIP. ``network(images, tokens)`` returns these three; one tower alone is
    ``network.encode_image(images, normalize=True)`` or ``network.encode_text(tokens, normalize=True)``, which return
    unit features, and without ``normalize`` features of any length. ``scale`` is ``network.logit_scale.exp()``, the
    inverse of the temperature; the logits of images to texts are ``scale * images @ texts.T``.
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
    of all of them together, and ``features`` [n, d] are of all n rows. ``fomo.gathered`` makes all rows of one's own.

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

    def split(self, size: int | Sequence[int]) -> Iterator["Batch"]:
        """The rows ``size`` at a time, or so many of each piece; with its own counts, and features if there are any."""
        sizes = [size] * -(-len(self.images) // size) if isinstance(size, int) else size
        for start, its in zip(accumulate(sizes, initial=0), sizes, strict=False):
            rows = slice(start, start + its)
            features = self.features and self.features._replace(
                images=self.features.images[rows], texts=self.features.texts[rows]
            )
            yield replace(
                self,
                images=self.images[rows],
                tokens=self.tokens[rows],
                counts=self._counts_of(start, start + its),
                whole=self._counts_of(start, start + its),
                features=features,
                sources=self.sources[rows],
            )

    def _counts_of(self, start: int, stop: int) -> tuple[int, int, int]:
        """The rows of P, D_t and B among those from ``start`` to ``stop``."""
        ends = accumulate(self.counts)
        p, d, b = (
            max(0, min(stop, end) - max(start, end - count)) for end, count in zip(ends, self.counts, strict=True)
        )
        return p, d, b
