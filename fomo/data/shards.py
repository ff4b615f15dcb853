"""Datasets on disk: WebDataset shards with an index that makes them seekable.

``FOLDER/SPLIT-000000.tar`` hold ``KEY.png|jpg|webp`` and ``KEY.json``: ``class`` (null where there is none),
``captions`` (the training texts; empty where the class prompt serves), and where a sample has several kinds of text,
``caption_kinds``, a mapping of kind to texts. ``index-SPLIT.npz`` holds the offset and size of every member;
``dataset.json``, written last, the card. The tars are byte-stable and any webdataset reader can use them.
"""

import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fomo.data.card import DatasetCard, read_card
from fomo.data.images import BadImage, decode
from fomo.data.samples import Dataset
from fomo.errors import FomoError

SHARD_BYTES = 256 * 2**20
COLUMNS = ("shard", "image_offset", "image_size", "json_offset", "json_size", "target")


@dataclass(frozen=True)
class ShardSamples:
    """One split in shards, read by position; a worker opens each tar once, when it first needs it."""

    folder: Path
    name: str

    @cached_property
    def _index(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"index-{self.name}.npz", allow_pickle=False) as stored:
            return {column: stored[column] for column in COLUMNS}

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

    def _read(self, index: int, kind: str) -> bytes:
        shard = int(self._index["shard"][index])
        if shard not in self._files:
            self._files[shard] = os.open(shard_path(self.folder, self.name, shard), os.O_RDONLY)
        size, offset = int(self._index[f"{kind}_size"][index]), int(self._index[f"{kind}_offset"][index])
        return os.pread(self._files[shard], size, offset)

    def image(self, index: int) -> Image.Image:
        """The picture of a sample, RGB."""
        try:
            return decode(self._read(index, "image"))
        except BadImage as error:
            raise FomoError(f"{self.folder}: sample {index} of split '{self.name}': {error}") from error

    def about(self, index: int) -> dict[str, Any]:
        """What is stored beside the picture: class, captions, caption kinds, where it came from."""
        about: dict[str, Any] = json.loads(self._read(index, "json"))
        return about

    def captions(self, index: int, kind: str | None = None) -> Sequence[str]:
        """The texts of one of the caption kinds, else the training texts."""
        about = self.about(index)
        captions: list[str] = about["captions"]
        if kind is None:
            return captions
        kinds: dict[str, list[str]] = about.get("caption_kinds", {"default": captions})
        return kinds.get(kind, [])


def shard_path(folder: Path, split: str, number: int) -> Path:
    """The tar file of a split."""
    return folder / f"{split}-{number:06d}.tar"


class SplitWriter:
    """Writes the samples of one split into shards as they come, and the index when it is closed."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._stack = ExitStack()
        self._num_shards = self._bytes = 0
        self._tar: Any = None

    def add(self, key: str, extension: str, image: bytes, about: Mapping[str, Any]) -> None:
        """Append a sample; ``about`` holds its class and captions."""
        if self._tar is None or self._bytes >= SHARD_BYTES:
            self._next_shard()
        text = json.dumps(about, ensure_ascii=False, sort_keys=True).encode()
        self._tar.write({"__key__": key, extension: image, "json": text})
        self._bytes += len(image) + len(text)

    def _next_shard(self) -> None:
        from webdataset import TarWriter  # imports torch: only those who write pay for it

        self._stack.close()
        path = shard_path(self._folder, self._split, self._num_shards)
        file = self._stack.enter_context(path.open("wb"))
        self._tar = self._stack.enter_context(TarWriter(file, mtime=0, user="", group="", encoder=False))
        self._num_shards, self._bytes = self._num_shards + 1, 0

    def close(self, classes: Sequence[str]) -> int:
        """Write the index, targets being positions in ``classes``; gives the number of samples."""
        self._stack.close()
        targets = {name: number for number, name in enumerate(classes)}
        paths = [shard_path(self._folder, self._split, number) for number in range(self._num_shards)]
        rows = [row for number, path in enumerate(paths) for row in _index_tar(path, number, targets)]
        columns = np.array(rows, dtype=np.int64).reshape(-1, len(COLUMNS)).T
        np.savez(self._folder / f"index-{self._split}.npz", **dict(zip(COLUMNS, columns, strict=True)))
        return len(rows)


def _index_tar(path: Path, number: int, targets: Mapping[str, int]) -> Iterator[tuple[int, ...]]:
    found: dict[str, dict[str, tarfile.TarInfo]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, extension = member.name.split(".", 1)
            found.setdefault(key, {})["json" if extension == "json" else "image"] = member
    with path.open("rb") as file:
        for members in found.values():
            image, about = members["image"], members["json"]
            file.seek(about.offset_data)
            name = json.loads(file.read(about.size))["class"]
            target = -1 if name is None else targets[name]
            yield number, image.offset_data, image.size, about.offset_data, about.size, target


def open_dataset(folder: Path) -> Dataset:
    """The dataset in ``folder``; its card is its proof of completeness."""
    return Dataset(read_card(folder / "dataset.json"), lambda split: ShardSamples(folder, split))


def present(root: Path) -> dict[str, Path]:
    """Folders of complete datasets below ``root``, by name."""
    return {path.parent.name: path.parent for path in sorted(root.glob("[!.]*/dataset.json"))}


def write_card(folder: Path, card: DatasetCard) -> None:
    """The last file of an import."""
    text = json.dumps(card.to_json(), indent=1, ensure_ascii=False)
    (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")
