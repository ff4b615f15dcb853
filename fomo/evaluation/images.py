"""The images of several splits as one stream of batches, through the image tower.

Images are decoded by loader workers, or by a thread beside the model; those that were decoded before come from the
cache. Every batch but the last has ``batch_size`` images, of as many splits as it takes: which ones does not depend on
where they come from.
"""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fomo.data.samples import Samples
from fomo.evaluation.image_cache import Draft, ImageCache
from fomo.evaluation.image_file import Stored
from fomo.evaluation.image_key import shards_of
from fomo.model.clip import ClipModel
from fomo.model.preprocess import Preprocess
from fomo.system.feed import Feed
from fomo.system.runtime import Runtime

PIECE = 32
"""Images that a worker decodes at a time, so that a batch is shared among workers."""
PIECES_AHEAD = 32
"""Pieces that a thread decodes ahead."""
BATCHES_AHEAD = 2
"""Batches that a thread reads ahead."""


class Rows(NamedTuple):
    """Some samples of a split, by its number: those from ``start`` to before ``stop``."""

    split: int
    start: int
    stop: int


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

        They are on the device, and some may be NaN or infinite; nothing here waits for the device.
        """
        batch: list[tuple[int, Tensor]] = []
        num_images = 0
        with closing(self.pieces()) as pieces:
            for piece in pieces:
                batch.append(piece)
                num_images += len(piece[1])
                if num_images == self.batch_size:
                    yield from self._encoded(model, batch)
                    batch = []
                    num_images = 0
        if batch:
            yield from self._encoded(model, batch)

    def _encoded(self, model: ClipModel, batch: Sequence[tuple[int, Tensor]]) -> Iterator[tuple[int, Tensor]]:
        counts: Counter[int] = Counter()
        for split, images in batch:
            counts[split] += len(images)
        features = encode_images(model, [images for _, images in batch], self.runtime)
        yield from zip(counts, features.split(list(counts.values())), strict=True)

    def pieces(self) -> Generator[tuple[int, Tensor], None, None]:
        """The number of a split and some images of it on the host, uint8 [k, s, s, 3], none across two batches."""
        feed = Feed(self.decoder, self.runtime, self.decoder.name)
        before = 0
        for split, samples in enumerate(self.decoder.splits):
            cuts = partial(rows_of, split, len(samples), before % self.batch_size, self.batch_size)
            for images in self._of_split(split, cuts, feed):
                yield split, images
            before += len(samples)

    def _of_split(
        self, split: int, cuts: Callable[[int], Sequence[Rows]], feed: Feed[Rows, Tensor]
    ) -> Iterator[Tensor]:
        found = self._find(split)
        if isinstance(found, Stored):
            yield from _ahead(partial(self._read, found), cuts(self.batch_size), BATCHES_AHEAD)
            return
        decoded = self._decoded(split, cuts(PIECE), feed)
        if found is None:
            yield from decoded
            return
        with found:
            for images in decoded:
                found.add(images.numpy())
                yield images

    def _find(self, split: int) -> Stored | Draft | None:
        key = self.keys[split] if self.cache else None
        if self.cache is None or key is None:
            return None
        num_bytes = len(self.decoder.splits[split]) * 3 * self.decoder.preprocess.size**2
        return self.cache.find(key, num_bytes, self.decoder.names[split])

    def _decoded(self, split: int, rows: Sequence[Rows], feed: Feed[Rows, Tensor]) -> Iterator[Tensor]:
        """Images that workers decode, or a thread; samples that are not ours may not bear another thread."""
        if self.runtime.num_workers or shards_of(self.decoder.splits[split]) is None:
            return feed(rows)
        return _ahead(self._decode_here, rows, PIECES_AHEAD)

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


def _ahead(make: Callable[[Rows], Tensor], keys: Sequence[Rows], count: int) -> Iterator[Tensor]:
    """What is made of each key, in order, up to ``count`` of them ahead in a thread.

    Nobody waits for the thread: whoever stops a run must not be held up by a read that does not end.
    """
    made: SimpleQueue[Tensor | BaseException] = SimpleQueue()
    room = threading.Semaphore(count)
    is_left = threading.Event()
    threading.Thread(target=_make, args=(make, keys, made, room, is_left), daemon=True).start()
    try:
        for _ in keys:
            each = made.get()
            room.release()
            if isinstance(each, BaseException):
                raise each
            yield each
    finally:
        is_left.set()
        room.release()


def _make(
    make: Callable[[Rows], Tensor],
    keys: Sequence[Rows],
    made: "SimpleQueue[Tensor | BaseException]",
    room: threading.Semaphore,
    is_left: threading.Event,
) -> None:
    try:
        for key in keys:
            room.acquire()
            if is_left.is_set():
                return
            made.put(make(key))
    except BaseException as error:  # raised by whoever waits for what is made
        made.put(error)


@torch.inference_mode()
def encode_images(model: ClipModel, pieces: Sequence[Tensor], runtime: Runtime) -> Tensor:
    """Unit features of a batch that lies on the host in pieces [k, s, s, 3]: float32 [b, d] on the device."""
    there = [piece.to(runtime.device, non_blocking=True) for piece in pieces]
    images = there[0] if len(there) == 1 else torch.cat(there)
    with runtime.autocast():
        features = model.network.encode_image(model.normalize(images.permute(0, 3, 1, 2)), normalize=True)
    return features.float()
