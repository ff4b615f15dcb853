"""The images of several splits as one stream of batches, through the image tower.

Images are decoded by loader workers, or by a thread beside the model; those that were decoded before come from the
cache. The thread goes on from split to split, and on a GPU the next batch is copied while one is computed. Every batch
but the last has ``batch_size`` images, of as many splits as it takes: which ones does not depend on where they come
from.
"""

import threading
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fomo.data.samples import Samples
from fomo.evaluation.image_cache import Draft, ImageCache
from fomo.evaluation.image_file import Stored
from fomo.evaluation.image_key import shards_of
from fomo.evaluation.read_ahead import ReadAhead
from fomo.evaluation.uploads import ImageUploads
from fomo.model.clip import ClipModel
from fomo.model.preprocess import Preprocess
from fomo.system.feed import Feed
from fomo.system.runtime import Runtime

PIECE = 32
"""Images that a worker decodes at a time, so that a batch is shared among workers."""
IMAGES_AHEAD = 1024
"""Images that a thread reads or decodes ahead, or so many batches:"""
BATCHES_AHEAD = 2


class Rows(NamedTuple):
    """Some samples of a split, by its number: those from ``start`` to before ``stop``."""

    split: int
    start: int
    stop: int


class Begun(NamedTuple):
    """A split whose images come next, in the pieces ``rows``: a thread makes them ahead, or whoever wants them has to.

    ``draft`` is where they are kept once they are decoded.
    """

    rows: Sequence[Rows]
    is_ahead: bool
    draft: Draft | None


@dataclass(frozen=True)
class Decoder:
    """Decodes images of several splits and crops them as the model's weights ask for.

    Args:
        names: what the splits are called in messages.
        splits: their samples.
        preprocess: the crop.
    """

    names: Sequence[str]
    splits: Sequence[Samples]
    preprocess: Preprocess

    def __call__(self, rows: Rows) -> Tensor:
        """The images of some rows as the model sees them, uint8 [n, s, s, 3]."""
        samples = self.splits[rows.split]
        pixels = [self.preprocess.crop(samples.image(row)) for row in range(rows.start, rows.stop)]
        return torch.from_numpy(np.stack(pixels))

    def name(self, rows: Rows) -> str:
        """What some rows are called in messages."""
        return f"evaluation, samples {rows.start} to {rows.stop - 1} of '{self.names[rows.split]}'"


@dataclass(frozen=True)
class ImageStream:
    """The images of several splits, one after the other.

    Args:
        decoder: knows the samples of the splits.
        batch_size: images that the model encodes at a time.
        runtime: device, precision and workers.
        keys: what the decoded images of each split are cached by; ``None`` for those that are not.
        cache: where; ``None``: nowhere.
    """

    decoder: Decoder
    batch_size: int
    runtime: Runtime
    keys: Sequence[str | None] = ()
    cache: ImageCache | None = None

    def features(self, model: ClipModel) -> Generator[tuple[int, Tensor], None, None]:
        """Unit features of all images in order: the number of a split, and those of its next images, float32 [k, d].

        They are on the device, and some may be NaN or infinite. The host runs a few batches ahead of a GPU, not more.
        """
        with closing(self.pieces()) as pieces:
            uploads = ImageUploads(self.runtime.device)
            for counts, uploaded in uploads(self._batches(pieces)):
                with uploads.arrived(uploaded) as images:
                    features = encode_images(model, [images], self.runtime)
                yield from zip(counts, features.split(list(counts.values())), strict=True)

    def _batches(self, pieces: Iterator[tuple[int, Tensor]]) -> Iterator[tuple[Counter[int], list[Tensor]]]:
        """Batches in pieces, and how many images each has of which split."""
        counts: Counter[int] = Counter()
        batch: list[Tensor] = []
        for split, images in pieces:
            batch.append(images)
            counts[split] += len(images)
            if counts.total() == self.batch_size:
                yield counts, batch
                counts = Counter()
                batch = []
        if batch:
            yield counts, batch

    def pieces(self) -> Generator[tuple[int, Tensor], None, None]:
        """The number of a split and some images of it on the host, uint8 [k, s, s, 3], none across two batches."""
        feed = Feed(self.decoder, self.runtime, self.decoder.name)
        keeping = Keeping()
        most = max(IMAGES_AHEAD, BATCHES_AHEAD * self.batch_size)
        with closing(keeping), closing(ReadAhead(self._made_ahead(keeping), _num_images, most)) as ahead:
            for begun in ahead:
                assert isinstance(begun, Begun)
                images = islice(ahead, len(begun.rows)) if begun.is_ahead else feed(begun.rows)
                for rows, piece in zip(begun.rows, images, strict=True):
                    assert isinstance(piece, Tensor)
                    if begun.draft:
                        begun.draft.add(piece.numpy())
                    yield rows.split, piece
                if begun.draft:
                    keeping.end()

    def _made_ahead(self, keeping: "Keeping") -> Iterator[Begun | Tensor]:
        """Of every split that it has begun, and then its images, if they can be made by a thread."""
        before = 0
        for split, samples in enumerate(self.decoder.splits):
            found = self._find(split, keeping)
            stored = found if isinstance(found, Stored) else None
            cut = self.batch_size if stored else PIECE
            rows = rows_of(split, len(samples), before % self.batch_size, self.batch_size, cut)
            # Samples that are not ours may not bear another thread.
            is_ahead = bool(stored) or not (self.runtime.num_workers or shards_of(samples) is None)
            yield Begun(rows, is_ahead, found if isinstance(found, Draft) else None)
            if is_ahead:
                yield from map(partial(self._read, stored) if stored else self._decode_here, rows)
            before += len(samples)

    def _find(self, split: int, keeping: "Keeping") -> Stored | Draft | None:
        key = self.keys[split] if self.cache else None
        if self.cache is None or key is None:
            return None
        if not self.cache.path(key).exists() and not keeping.awaited():
            return None
        num_bytes = len(self.decoder.splits[split]) * 3 * self.decoder.preprocess.size**2
        found = self.cache.find(key, num_bytes, self.decoder.names[split])
        if isinstance(found, Draft):
            keeping.begin(found)
        return found

    def _decode_here(self, rows: Rows) -> Tensor:
        images = self.decoder(rows)
        return images.pin_memory() if self._pins else images

    def _read(self, stored: Stored, rows: Rows) -> Tensor:
        """Images from the cache, or decoded if that fails."""
        size = self.decoder.preprocess.size
        shape = (rows.stop - rows.start, size, size, 3)
        images = torch.empty(shape, dtype=torch.uint8, pin_memory=self._pins)
        if stored.read(images.numpy(), rows.start):
            return images
        assert self.cache is not None
        self.cache.damaged(str(self.keys[rows.split]), self.decoder.names[rows.split])
        return self._decode_here(rows)

    @property
    def _pins(self) -> bool:
        """Whether the copies to the device go on by themselves, from memory that is pinned."""
        return torch.device(self.runtime.device).type == "cuda"


def rows_of(split: int, num_samples: int, filled: int, batch_size: int, piece: int) -> list[Rows]:
    """The samples of a split in pieces that lie in one batch each.

    Args:
        split: its number.
        num_samples: how many it has.
        filled: how many images of other splits the first batch has before them.
        batch_size: images of a batch.
        piece: the largest piece.
    """
    edges = {*range(0, num_samples, piece), *range(batch_size - filled, num_samples, batch_size), num_samples}
    return [Rows(split, start, stop) for start, stop in pairwise(sorted(edges))]


class Keeping:
    """Decoded images are kept of one split at a time, whoever looks for those of the next one meanwhile."""

    def __init__(self) -> None:
        self._draft: Draft | None = None
        self._is_over = False
        self._changed = threading.Condition()

    def awaited(self) -> bool:
        """Whether images of another split may be kept; called where somebody else keeps those of one."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._draft is None)
            return not self._is_over

    def begin(self, draft: Draft) -> None:
        """Have the images of a split kept, which somebody adds to its draft, once those of the last one are."""
        with self._changed:
            if self.awaited():
                self._draft = draft
            else:
                draft.close()

    def end(self) -> None:
        """All images of the split are added."""
        with self._changed:
            if self._draft:
                self._draft.close()
            self._draft = None
            self._changed.notify_all()

    def close(self) -> None:
        """No images are kept any more; those of a split that is begun are left, wherever that was."""
        with self._changed:
            self._is_over = True
        self.end()


def _num_images(item: Begun | Tensor) -> int:
    return len(item) if isinstance(item, Tensor) else 0


@torch.inference_mode()
def encode_images(model: ClipModel, pieces: Sequence[Tensor], runtime: Runtime) -> Tensor:
    """Unit features of a batch that lies on the host in pieces [k, s, s, 3]: float32 [b, d] on the device."""
    there = [piece.to(runtime.device, non_blocking=True) for piece in pieces]
    images = there[0] if len(there) == 1 else torch.cat(there)
    with runtime.autocast():
        features = model.network.encode_image(model.normalize(images.permute(0, 3, 1, 2)), normalize=True)
    return features.float()
