"""P read in sequence: tar files too many or too large to index.

Each pass (epoch) takes the files in an order of its own, their samples as they stand, and permutes each ``window`` of
consecutive samples. The sample at a position of a run is thus a pure function of (seed, position): a worker that makes
every fourth batch, or a run that resumes, goes straight to it. Only the numbers of samples of the files before it have
to be known: from ``sizes.json`` beside the files, as open_clip reads it too, else from the headers of the tars.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from braceexpand import braceexpand
from PIL import Image

from fomo import rng
from fomo.data.drawn import Drawn, Skipped, Source
from fomo.data.images import BadImage, decode
from fomo.data.tar_samples import Contents, Member, Span, scan, texts_of
from fomo.errors import FomoError, check_allowed
from fomo.system.checks import is_count
from fomo.system.posts import post
from fomo.system.reading import read_json

MAX_SHARDS = 1_000_000
MAX_SKIPPED = 1_000
LARGEST_SHARD = 2**40
"""Bytes. With a million files, the number of a file and a place in it fit into 63 bits."""
MAX_SIZES_BYTES = 2**27


@dataclass(frozen=True)
class Shards:
    """Tar files in a fixed order."""

    paths: tuple[Path, ...]
    declared: Mapping[int, int]
    """Numbers of samples, by position of the file in ``paths``, where ``sizes.json`` has them."""
    window: int
    """How many consecutive samples are permuted together."""


def list_shards(patterns: Sequence[str], window: int) -> Shards:
    """The local tar files that ``patterns`` name; braces stand for many, as in ``laion/{00000..00099}.tar``.

    Raises:
        FomoError: a command or an address, unbalanced braces, a file that is not there or stands twice.
    """
    check_allowed(window >= 1, f"stream.pool_window={window}", "1 (no shuffling) and above, in samples")
    paths = tuple(path for pattern in patterns for path in _expanded(pattern))
    if len(paths) > MAX_SHARDS:
        raise FomoError(f"stream.pool lists more than {MAX_SHARDS:,} files: join them into larger ones.")
    gone = [path for path in paths if not path.is_file()]
    if gone:
        raise FomoError(f"stream.pool: {len(gone)} of {len(paths)} tar files are not there, the first is '{gone[0]}'.")
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise FomoError(f"stream.pool lists '{twice[0]}' twice.")
    return Shards(paths, _declared(paths), window)


def _expanded(pattern: str) -> list[Path]:
    if pattern.startswith("pipe:") or "://" in pattern:
        raise FomoError(
            f"stream.pool: '{pattern}' is no path. Commands and addresses are not read: download the files."
        )
    try:
        return [Path(path) for path in islice(braceexpand(pattern), MAX_SHARDS + 1)]
    except (ValueError, RecursionError):
        raise FomoError(f"stream.pool: the braces in '{pattern}' do not match.") from None


def _declared(paths: Sequence[Path]) -> dict[int, int]:
    """Numbers of samples by position of the file, from the ``sizes.json`` of each folder that has one."""
    files = {folder: folder / "sizes.json" for folder in {path.parent for path in paths}}
    sizes = {folder: _sizes(file) for folder, file in files.items() if file.is_file()}
    known = ((number, sizes.get(path.parent, {}).get(path.name)) for number, path in enumerate(paths))
    return {number: count for number, count in known if count is not None}


def _sizes(path: Path) -> dict[str, int]:
    sizes = read_json(path, MAX_SIZES_BYTES)
    if not isinstance(sizes, dict) or not all(is_count(count) and count < 2**48 for count in sizes.values()):
        raise FomoError(f"{path}: a mapping of file names to numbers of samples is expected.")
    return dict(sizes)


@lru_cache(maxsize=4)
def _shuffled(seed: int, purpose: str, number: int, size: int) -> np.ndarray:
    return rng.generator(seed, "sequential", purpose, number).permutation(size)


class Window(NamedTuple):
    """Consecutive samples of a pass."""

    samples: Sequence[tuple[int, Member]]
    """Each with the number of its file."""
    skipped: tuple[Skipped, ...]
    """What was left out of those files."""


class Walk:
    """Finds the samples of a window.

    What was read once is kept as far as memory stays bounded: the number of samples of every file, the contents of a
    few files, and two windows. None of it changes what is returned.
    """

    def __init__(self, shards: Shards, seed: int) -> None:
        self._shards = shards
        self._seed = seed
        self._counts = dict(shards.declared)
        self._contents: dict[int, Contents] = {}
        self._num_counted = 0
        """Files of the first pass, from its start, whose samples are counted."""
        self._counted = 0
        """Samples in those files."""
        self.window = lru_cache(maxsize=2)(self._gathered)

    def order(self, epoch: int) -> list[int]:
        """Numbers of the files, in the order of a pass."""
        return [int(shard) for shard in _shuffled(self._seed, "files", epoch, len(self._shards.paths))]

    def place(self, position: int) -> tuple[int, int]:
        """The pass that a position of the run lies in, and the position in that pass.

        Raises:
            FomoError: a file cannot be read, or no file has a usable sample.
        """
        order = self.order(0)
        # Only the first pass can meet a file whose number of samples is not known.
        while self._counted <= position and self._num_counted < len(order):
            self._counted += self._count(order[self._num_counted])
            self._num_counted += 1
        if not self._counted:
            raise FomoError(f"no usable sample in the {len(order)} tar files of stream.pool: {self._reasons()}.")
        return (0, position) if position < self._counted else divmod(position, self._counted)

    def _count(self, shard: int) -> int:
        if shard not in self._counts:
            self._counts[shard] = len(self._read(shard).members)
        return self._counts[shard]

    def _read(self, shard: int) -> Contents:
        """The contents of a file; older ones are dropped beyond two files that hold more samples than two windows."""
        if shard not in self._contents:
            self._contents[shard] = self._checked(shard)
            kept = self._contents.values()
            while len(kept) > 2 and sum(len(each.members) for each in kept) > 2 * self._shards.window:
                del self._contents[next(iter(self._contents))]
        return self._contents[shard]

    def _checked(self, shard: int) -> Contents:
        path = self._shards.paths[shard]
        declared = self._shards.declared.get(shard)
        try:
            path.stat()  # scanning takes a file that is gone for one that holds nothing
            contents = scan(path)
        except OSError as error:
            raise _unreadable(path, f"the pretraining pool needs it: {error.strerror}") from None
        if declared not in (None, len(contents.members)):
            reasons = "".join(f", {count} × {reason}" for reason, count in contents.skipped.items())
            raise FomoError(
                f"{path} holds {len(contents.members)} usable samples{reasons}; sizes.json beside it says {declared}: "
                "correct the file or remove its entry."
            )
        return contents

    def _reasons(self) -> str:
        counts: Counter[str] = Counter()
        for shard in range(len(self._shards.paths)):
            counts.update(self._checked(shard).skipped)
        return ", ".join(f"{count} × {reason}" for reason, count in counts.items()) or "they are empty"

    def _gathered(self, epoch: int, block: int) -> Window:
        """The window number ``block`` of the pass ``epoch``; it is kept behind :attr:`window`."""
        size = self._shards.window
        left = block * size
        samples: list[tuple[int, Member]] = []
        skipped: list[Skipped] = []
        for shard in self.order(epoch):
            if left >= self._count(shard):
                left -= self._count(shard)
                continue
            contents = self._read(shard)
            name = str(self._shards.paths[shard])
            samples += [(shard, member) for member in contents.members[left : left + size - len(samples)]]
            skipped += [Skipped(name, reason, count) for reason, count in contents.skipped.items()]
            left = 0
            if len(samples) == size:
                break
        return Window(samples, tuple(skipped))


@dataclass(frozen=True)
class SequentialPool:
    """P as the positions of an endless walk. The next position's sample comes in place of one that cannot be used."""

    shards: Shards
    seed: int
    kind: str | None = None
    """Of the captions; ``None``: those to train on."""
    dataset: int = -1
    """Its number among the datasets of the run."""

    @property
    def size(self) -> None:
        """A pool that is read in sequence has no size: the mixture passes it positions of the run as they are."""

    @cached_property
    def _walk(self) -> Walk:
        return Walk(self.shards, self.seed)

    def __getstate__(self) -> dict[str, object]:
        return {"shards": self.shards, "seed": self.seed, "kind": self.kind, "dataset": self.dataset}

    def draw(self, position: int) -> Drawn:
        """The sample at a position of the run.

        Raises:
            FomoError: a file cannot be read, or a thousand samples in a row cannot be used.
        """
        skipped: dict[Skipped, None] = {}
        for candidate in range(position, position + MAX_SKIPPED):
            shard, member, notes = self._at(candidate)
            path = self.shards.paths[shard]
            skipped |= dict.fromkeys(notes)
            try:
                image, captions = self._decoded(path, member)
                source = Source(dataset=self.dataset, sample=shard * LARGEST_SHARD + member.image.offset)
                return Drawn(image, captions, tuple(skipped), source)
            except BadImage as error:
                skipped[Skipped(f"{path}: {member.key}", str(error), 1)] = None
        last = list(skipped)[-1]
        raise FomoError(
            f"stream.pool: {MAX_SKIPPED} samples in a row cannot be used, at last {last.where}: {last.reason}."
        )

    def _at(self, position: int) -> tuple[int, Member, tuple[Skipped, ...]]:
        epoch, offset = self._walk.place(position)
        block, spot = divmod(offset, self.shards.window)
        samples, skipped = self._walk.window(epoch, block)
        shuffled = _shuffled(self.seed, f"window {epoch}", block, len(samples))
        shard, member = samples[int(shuffled[spot])]
        return shard, member, skipped

    def _decoded(self, path: Path, member: Member) -> tuple[Image.Image, list[str]]:
        post(f"sample '{member.key}' of the pretraining pool in {path}")
        try:
            with path.open("rb") as file:
                captions = texts_of({name: _bytes(file, span) for name, span in member.texts.items()}, self.kind)
                return decode(_bytes(file, member.image)), captions
        except OSError as error:
            raise _unreadable(
                path, f"sample '{member.key}' of the pretraining pool lies in it: {error.strerror or error}"
            ) from None


def _bytes(file: IO[bytes], span: Span) -> bytes:
    file.seek(span.offset)
    data = file.read(span.size)
    if len(data) < span.size:  # it was longer when its headers were read
        raise OSError("the file has become shorter")
    return data


def _unreadable(path: Path, reason: str) -> FomoError:
    return FomoError(f"{path}: cannot be read ({reason}). Restore the file; the same command goes on.")
