"""Datasets on disk: WebDataset shards with an index that makes them seekable.

``FOLDER/SPLIT-000000.tar`` and so on hold ``KEY.png|jpg|webp`` and ``KEY.json`` with these keys:

- ``class``: null where there is none;
- ``captions``: those to train on; empty where the class prompt serves;
- ``caption_kinds``: a mapping of kind to captions, where a sample has several kinds;
- ``pixels``: the SHA-256 of the image's size and pixels;
- ``path``: where the image came from.

``index-SPLIT.npz`` holds the offset and size of every member; ``dataset.json``, written last, the card. The tars are
byte-stable and any webdataset reader can use them.
"""

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fomo.data.card import SHOWN, DatasetCard, read_card
from fomo.data.images import BadImage, decode
from fomo.data.samples import Dataset
from fomo.data.shard_index import MEND, ShardRow, read_index
from fomo.errors import FomoError
from fomo.system.checks import is_strings
from fomo.system.posts import post
from fomo.system.reading import Unreadable, parse_json
from fomo.system.writing import scratch_of, write_json

HEADER_BYTES = 512


class ShardSamples:
    """One split in shards, read by position.

    Besides the index, two things are kept in memory. Neither changes what is returned, and neither travels to workers:

    - an open descriptor of every shard that was read from;
    - the JSON of the sample whose image was read last. It lies right behind the image, so that one read of the disk
      fetches both, and whoever trains on an image asks for its captions next.
    """

    def __init__(self, folder: Path, name: str, decoding: str = SHOWN) -> None:
        self.folder = folder
        self.name = name
        self.decoding = decoding
        """How images become RGB, as the dataset's card has it."""
        self._descriptors: dict[int, int] = {}
        self._json_of: int | None = None
        self._json = b""

    def __reduce__(self) -> tuple[type["ShardSamples"], tuple[Path, str, str]]:
        return ShardSamples, (self.folder, self.name, self.decoding)

    @cached_property
    def _index(self) -> dict[str, np.ndarray]:
        return read_index(self.folder / f"index-{self.name}.npz")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def targets(self) -> np.ndarray:
        """Class index of each sample, -1 where it has none: int64 [n]."""
        return self._index["target"]

    @property
    def digests(self) -> np.ndarray:
        """The first 64 bits of the SHA-256 of each image's size and pixels, equal for equal images: int64 [n]."""
        return self._index["digest"]

    def column(self, name: str) -> np.ndarray:
        """One of :data:`COLUMNS` of the index: int64 [n]."""
        return self._index[name]

    def image(self, index: int) -> Image.Image:
        """The image of a sample, RGB.

        Raises:
            FomoError: it cannot be read, or is damaged.
        """
        try:
            return decode(self._image_file(index), decoding=self.decoding)
        except BadImage as error:
            raise FomoError(f"{self._where(index)} cannot be used ({error}); {MEND}") from error

    def captions(self, index: int, kind: str | None = None) -> Sequence[str]:
        """The captions of one ``kind``, or those to train on (``None``); empty where the sample has none.

        Raises:
            FomoError: they cannot be read, or are damaged.
        """
        about = self.about(index)
        captions = about.get("captions")
        if kind is not None:
            kinds = about.get("caption_kinds", {"default": captions})
            captions = kinds.get(kind, []) if isinstance(kinds, dict) else None
        if not is_strings(captions):
            raise FomoError(
                f"{self.folder}: sample {index} of split '{self.name}': its captions are no list of strings."
            )
        return captions

    def about(self, index: int) -> dict[str, Any]:
        """The JSON stored beside an image: class, captions, caption kinds, where the image came from.

        Raises:
            FomoError: it cannot be read, or is damaged.
        """
        data = self._json if self._json_of == index else self._read(index, *self._span(index, "json"))
        try:
            about = parse_json(data)
        except Unreadable as error:
            raise FomoError(f"the JSON of {self._where(index)} is not as it was written ({error}); {MEND}") from None
        if not isinstance(about, dict):
            raise FomoError(f"the JSON of {self._where(index)} is not as it was written (no object); {MEND}")
        return about

    def _image_file(self, index: int) -> bytes:
        """The bytes of an image file; the JSON behind it is kept for :meth:`about`."""
        start, stop = self._span(index, "image")
        json_start, json_stop = self._span(index, "json")
        self._json_of = None
        if not stop <= json_start <= stop + 2 * HEADER_BYTES:
            return self._read(index, start, stop)
        both = self._read(index, start, json_stop)
        self._json_of = index
        self._json = both[json_start - start :]
        return both[: stop - start]

    def _span(self, index: int, part: str) -> tuple[int, int]:
        """Where the ``image`` or the ``json`` of a sample starts and stops in its shard, in bytes."""
        start = int(self._index[f"{part}_offset"][index])
        return start, start + int(self._index[f"{part}_size"][index])

    def _read(self, index: int, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop`` of the shard that holds a sample."""
        post(self._where(index))
        try:
            data = os.pread(self._descriptor(int(self._index["shard"][index])), stop - start, start)
        except OSError as error:
            raise FomoError(f"{self._where(index)} cannot be read ({error.strerror}); {MEND}") from None
        if len(data) < stop - start:
            raise FomoError(f"{self._where(index)} cannot be read (the file ends before it); {MEND}")
        return data

    def _descriptor(self, shard: int) -> int:
        if shard not in self._descriptors:
            flags = os.O_RDONLY | os.O_NONBLOCK  # a pipe would never open
            self._descriptors[shard] = os.open(shard_path(self.folder, self.name, shard), flags)
        return self._descriptors[shard]

    def _where(self, index: int) -> str:
        path = shard_path(self.folder, self.name, int(self._index["shard"][index]))
        return f"sample {index} of split '{self.name}' of dataset '{self.folder.name}' in {path}"


def shard_path(folder: Path, split: str, number: int) -> Path:
    """The tar file of a split."""
    return folder / f"{split}-{number:06d}.tar"


class ShardWriter:
    """Writes one tar, which is named ``path`` once it is closed. Its bytes depend on the samples alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = scratch_of(path).open("wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (see close)
        self.num_bytes = 0
        """Of the members so far, without their headers."""

    def add(self, key: str, extension: str, image: bytes, about: Mapping[str, Any]) -> ShardRow:
        """Append a sample and return its place.

        Args:
            key: name of both members, without dots.
            extension: of the image file.
            image: the bytes of the image file.
            about: the JSON stored beside the image; ``class`` and ``pixels`` go into the index too.
        """
        # Names and JSON of others may hold halves of surrogate pairs, which UTF-8 lacks: they become question marks.
        text = json.dumps(about, ensure_ascii=False, sort_keys=True).encode(errors="replace")
        offsets = [self._append(f"{key}.{extension}", image), self._append(f"{key}.json", text)]
        return ShardRow(offsets[0], len(image), offsets[1], len(text), about["class"], about["pixels"])

    def _append(self, name: str, data: bytes) -> int:
        """Append a member and return the offset of its data."""
        member = tarfile.TarInfo(name)
        member.size = len(data)
        offset = self._tar.offset + HEADER_BYTES
        self._tar.addfile(member, io.BytesIO(data))
        self._tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
        self.num_bytes += len(data)
        return offset

    def close(self) -> None:
        """Write the end of the tar and give the file its name."""
        self._tar.close()
        self._file.close()
        scratch_of(self._path).replace(self._path)


def open_dataset(folder: Path) -> Dataset:
    """The dataset in ``folder``; it is complete, because it has a card.

    Raises:
        FomoError: there is no card, or the folder has another name, so that two of one name could stand side by side.
    """
    card = read_card(folder / "dataset.json")
    name = folder.absolute().name
    if card.name != name:
        raise FomoError(f"'{folder}' holds the dataset '{card.name}': name the folder so, or import it as '{name}'.")
    return Dataset(card, lambda split: _split(card, folder, split))


def _split(card: DatasetCard, folder: Path, name: str) -> ShardSamples:
    """A split whose index fits the card; any other is refused here, before a sample is asked for that is not there."""
    samples = ShardSamples(folder, name, card.decoding)
    if len(samples) != card.num_samples[name] or max(samples.targets, default=-1) >= len(card.classes):
        raise FomoError(
            f"{folder}: index-{name}.npz is not that of dataset.json. `fomo data verify {folder}` says what is wrong."
        )
    return samples


def present(root: Path) -> dict[str, Path]:
    """Folders of complete datasets below ``root``, by name."""
    return {path.parent.name: path.parent for path in sorted(root.glob("[!.]*/dataset.json"))}


def write_card(folder: Path, card: DatasetCard) -> None:
    """Write ``dataset.json``, the last file of a dataset: it says that the dataset is complete."""
    write_json(folder / "dataset.json", card.to_json())
