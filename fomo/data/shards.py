"""Datasets on disk: WebDataset shards with an index that makes them seekable.

``FOLDER/SPLIT-000000.tar`` hold ``KEY.png|jpg|webp`` and ``KEY.json``: ``class`` (null where there is none),
``captions`` (the training texts; empty where the class prompt serves), and where a sample has several kinds of text,
``caption_kinds``, a mapping of kind to texts; ``pixels`` is the SHA-256 of size and pixels, ``path`` where the picture
came from. ``index-SPLIT.npz`` holds the offset and size of every member; ``dataset.json``, written last, the card. The
tars are byte-stable and any webdataset reader can use them.
"""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fomo.data.card import DatasetCard, read_card
from fomo.data.images import BadImage, decode
from fomo.data.samples import Dataset
from fomo.errors import FomoError
from fomo.system.posts import reading
from fomo.system.reading import Unreadable, parse_json

COLUMNS = ("shard", "image_offset", "image_size", "json_offset", "json_size", "target", "digest")
HEADER_BYTES = 512
MEND = "`fomo data verify` says what is wrong. With that mended, the same command goes on."
"""The way out of data that cannot be read."""
INTEGERS = np.dtype(np.int64)
MAX_OFFSET = 2**62
LIMITS = {
    "image_size": (0, 2**30),
    "json_size": (0, 2**26),
    "target": (-1, 2**31),
    "digest": (-(2**63), 2**63 - 1),
    "shard": (0, 10**6),
}
"""Least and most of the columns; of the others 0 to :data:`MAX_OFFSET`."""


@dataclass(frozen=True)
class ShardSamples:
    """One split in shards, read by position; a worker opens each tar once, when it first needs it."""

    folder: Path
    name: str

    @cached_property
    def _index(self) -> dict[str, np.ndarray]:
        return read_index(self.folder / f"index-{self.name}.npz")

    @cached_property
    def _files(self) -> dict[int, int]:
        return {}

    def __getstate__(self) -> dict[str, object]:
        return {"folder": self.folder, "name": self.name}

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def targets(self) -> np.ndarray:
        """Class index of each sample, -1 where it has none: int64 [n]."""
        return self._index["target"]

    def column(self, name: str) -> np.ndarray:
        """One of :data:`COLUMNS` of the index: int64 [n]."""
        return self._index[name]

    @property
    def digests(self) -> np.ndarray:
        """The first 64 bits of the SHA-256 of each picture's size and pixels, equal for equal pictures: int64 [n]."""
        return self._index["digest"]

    @cached_property
    def _text_at_hand(self) -> dict[int, bytes]:
        return {}

    def _span(self, index: int, kind: str) -> tuple[int, int]:
        start = int(self._index[f"{kind}_offset"][index])
        return start, start + int(self._index[f"{kind}_size"][index])

    def _read(self, index: int, start: int, stop: int) -> bytes:
        shard = int(self._index["shard"][index])
        reading(self._where(index))
        try:
            if shard not in self._files:
                path = shard_path(self.folder, self.name, shard)
                self._files[shard] = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would never open
            data = os.pread(self._files[shard], stop - start, start)
        except OSError as error:
            raise FomoError(f"{self._where(index)} cannot be read ({error.strerror}); {MEND}") from None
        if len(data) < stop - start:
            raise FomoError(f"{self._where(index)} cannot be read (the file ends before it); {MEND}")
        return data

    def _where(self, index: int) -> str:
        path = shard_path(self.folder, self.name, int(self._index["shard"][index]))
        return f"sample {index} of split '{self.name}' of dataset '{self.folder.name}' in {path}"

    def _picture(self, index: int) -> bytes:
        """The file of a picture. Its text lies behind it: one read fetches both, and training asks for it next."""
        (start, stop), (text, end) = self._span(index, "image"), self._span(index, "json")
        self._text_at_hand.clear()
        if not stop <= text <= stop + 2 * HEADER_BYTES:
            return self._read(index, start, stop)
        both = self._read(index, start, end)
        self._text_at_hand[index] = both[text - start :]
        return both[: stop - start]

    def image(self, index: int) -> Image.Image:
        """The picture of a sample, RGB."""
        try:
            return decode(self._picture(index))
        except BadImage as error:
            raise FomoError(f"{self._where(index)} cannot be used ({error}); {MEND}") from error

    def about(self, index: int) -> dict[str, Any]:
        """What is stored beside the picture: class, captions, caption kinds, where it came from."""
        data = self._text_at_hand.get(index) or self._read(index, *self._span(index, "json"))
        try:
            about = parse_json(data)
        except Unreadable as error:
            raise FomoError(f"the text of {self._where(index)} is not as it was written ({error}); {MEND}") from None
        if not isinstance(about, dict):
            raise FomoError(f"the text of {self._where(index)} is not as it was written (no object); {MEND}")
        return about

    def captions(self, index: int, kind: str | None = None) -> Sequence[str]:
        """The texts of one of the caption kinds, else the training texts."""
        about = self.about(index)
        captions = about.get("captions")
        kinds = {} if kind is None else about.get("caption_kinds", {"default": captions})
        texts = captions if kind is None else kinds.get(kind, []) if isinstance(kinds, dict) else None
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise FomoError(f"{self.folder}: sample {index} of split '{self.name}': its captions are no list of texts.")
        return texts


def shard_path(folder: Path, split: str, number: int) -> Path:
    """The tar file of a split."""
    return folder / f"{split}-{number:06d}.tar"


class Row(NamedTuple):
    """A sample in a shard, as the index needs it."""

    image_offset: int
    image_size: int
    json_offset: int
    json_size: int
    class_name: str | None
    digest: str


class ShardWriter:
    """Writes one tar: its bytes depend on the samples alone."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (see close)
        self.num_bytes = 0

    def add(self, key: str, extension: str, image: bytes, about: Mapping[str, Any]) -> Row:
        """Append a sample; ``about`` is what is stored beside the picture."""
        # Names of files and JSON of others may hold what is no text: it becomes question marks.
        text = json.dumps(about, ensure_ascii=False, sort_keys=True).encode(errors="replace")
        offsets = [self._append(f"{key}.{extension}", image), self._append(f"{key}.json", text)]
        return Row(offsets[0], len(image), offsets[1], len(text), about["class"], about["pixels"])

    def _append(self, name: str, data: bytes) -> int:
        """Gives the offset of the data."""
        member = tarfile.TarInfo(name)
        member.size = len(data)
        offset = self._tar.offset + HEADER_BYTES
        self._tar.addfile(member, io.BytesIO(data))
        self._tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
        self.num_bytes += len(data)
        return offset

    def close(self) -> None:
        """Write the end of the tar."""
        self._tar.close()
        self._file.close()


def write_index(folder: Path, split: str, shards: Iterable[Sequence[Row]], classes: Sequence[str]) -> None:
    """``index-SPLIT.npz`` of the rows of each shard, targets being positions in ``classes``."""
    targets: dict[str | None, int] = {name: number for number, name in enumerate(classes)} | {None: -1}
    parts = [
        np.array([(number, *row[:4], targets[row.class_name], shortened(row.digest)) for row in shard], dtype=np.int64)
        for number, shard in enumerate(shards)
    ]
    columns = np.concatenate([np.empty((0, len(COLUMNS)), dtype=np.int64), *filter(len, parts)]).T
    np.savez(folder / f"index-{split}.npz", **dict(zip(COLUMNS, columns, strict=True)))


def read_index(path: Path) -> dict[str, np.ndarray]:
    """The columns of ``index-SPLIT.npz``: int64 [n] each.

    Raises:
        FomoError: it is not there, or no index: nothing in it is compressed, all offsets and sizes are from 0.
    """
    if not path.is_file():
        raise FomoError(f"{path}: is not there. Dataset '{path.parent.name}' needs it; {MEND}")
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("compressed")
        with np.load(path, allow_pickle=False) as stored:
            columns = {column: stored[column] for column in COLUMNS}
    except Exception as error:  # readers of zip and npy raise anything on a damaged file
        raise FomoError(f"{path}: no index of samples ({' '.join(str(error).split())[:200]}).") from error
    if {(values.dtype, values.shape) for values in columns.values()} != {(INTEGERS, (columns["shard"].size,))}:
        raise FomoError(f"{path}: no index of samples (columns of whole numbers, all of one length).")
    for column, values in columns.items():
        least, most = LIMITS.get(column, (0, MAX_OFFSET))
        if len(values) and not least <= values.min() <= values.max() <= most:
            raise FomoError(f"{path}: no index of samples ({column} outside of {least} to {most}).")
    return columns


def shortened(digest: str) -> int:
    """The first 64 bits of a digest, as the index holds them."""
    return int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)


def open_dataset(folder: Path) -> Dataset:
    """The dataset in ``folder``; its card is its proof of completeness.

    Raises:
        FomoError: the folder has another name, so that two of one name could stand side by side.
    """
    card, name = read_card(folder / "dataset.json"), folder.absolute().name
    if card.name != name:
        raise FomoError(f"'{folder}' holds the dataset '{card.name}': name the folder so, or import it as '{name}'.")
    return Dataset(card, lambda split: _split(card, folder, split))


def _split(card: DatasetCard, folder: Path, name: str) -> ShardSamples:
    """Refuse an index that is not that of the card, before a sample is asked for that is not there."""
    samples = ShardSamples(folder, name)
    if len(samples) != card.num_samples[name] or max(samples.targets, default=-1) >= len(card.classes):
        way_out = f"`fomo data verify {folder}` says what is wrong."
        raise FomoError(f"{folder}: index-{name}.npz is not that of dataset.json. {way_out}")
    return samples


def present(root: Path) -> dict[str, Path]:
    """Folders of complete datasets below ``root``, by name."""
    return {path.parent.name: path.parent for path in sorted(root.glob("[!.]*/dataset.json"))}


def write_card(folder: Path, card: DatasetCard) -> None:
    """The last file of an import."""
    text = json.dumps(card.to_json(), indent=1, ensure_ascii=False)
    (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")
