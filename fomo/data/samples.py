"""Random access to the samples of a split, whatever holds them."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from fomo.data.card import DatasetCard
from fomo.errors import FomoError, check_choice
from fomo.system.posts import post

CAPTION_KINDS = ("default", "primer", "synthetic", "synthetic_merged")
"""The kinds of captions in FoMo-in-Flux; a sample without any such distinction has ``default`` captions."""


class Samples(Protocol):
    """One split of one dataset, or a pool. Travels to loader workers, so it opens files lazily."""

    def __len__(self) -> int: ...

    @property
    def targets(self) -> np.ndarray:
        """Class index of each sample, -1 where it has none: int64 [n]."""

    def image(self, index: int) -> Image.Image:
        """The image of a sample, RGB."""

    def captions(self, index: int, kind: str | None = None) -> Sequence[str]:
        """The captions of one of :data:`CAPTION_KINDS`, or those to train on (``None``); empty where there are none.

        Those to train on are the default captions, else the merged synthetic ones, else none: the class prompt serves.
        """


@dataclass(frozen=True)
class Dataset:
    """A declared dataset: its ``card``, and ``open_split``, which returns the samples of ``train`` or another split.

    Samples are asked for ``len``, ``targets`` [n] (class numbers), ``image(index)`` (a PIL image) and
    ``captions(index, kind)``. The function of an entry point takes no argument and returns
    ``Dataset(DatasetCard(…), open_split)``.
    """

    card: DatasetCard
    open_split: Callable[[str], Samples]

    @property
    def name(self) -> str:
        """The dataset's name, unique in a stream."""
        return self.card.name

    def split(self, name: str) -> Samples:
        """The samples of ``train``, ``validation`` or ``test``.

        Raises:
            FomoError: the dataset has no samples there.
        """
        have = [split for split, count in self.card.num_samples.items() if count]
        check_choice(f"split of dataset '{self.name}'", name, have, "The dataset has no samples there.")
        return self.open_split(name)


@dataclass(frozen=True)
class ArraySamples:
    """Samples held as one uint8 array [n, h, w, 3] on disk, memory-mapped on first use.

    ``FOLDER/images.npy`` holds pixels, ``targets.npy`` class indices, ``captions.json`` a list of captions per sample.
    """

    folder: Path
    limit: int | None = None
    """How many samples there are, counted from the first; ``None``: all that are stored."""

    @cached_property
    def _images(self) -> np.ndarray:
        with self._named("images.npy") as path:
            return np.load(path, mmap_mode="r")[: self.limit]

    @cached_property
    def targets(self) -> np.ndarray:
        """Class index of each sample: int64 [n]."""
        with self._named("targets.npy") as path:
            return np.load(path)[: self.limit]

    @cached_property
    def _captions(self) -> list[list[str]]:
        with self._named("captions.json") as path:
            captions: list[list[str]] = json.loads(path.read_text(encoding="utf-8"))
            return captions[: self.limit]

    @contextmanager
    def _named(self, file: str) -> Iterator[Path]:
        """The path of a file of the folder; an error while it is read in the block names it."""
        path = self.folder / file
        post(str(path))
        try:
            yield path
        except (OSError, ValueError, EOFError) as error:
            raise FomoError(
                f"{path}: cannot be read ({error}); samples of '{self.folder.name}' lie in it. Restore it, or remove "
                "the folder if it can be made anew, as the pocket's can; the same command goes on."
            ) from None

    def __getstate__(self) -> dict[str, object]:
        # A memory map would be pickled as the whole array: workers map the file themselves.
        return {"folder": self.folder, "limit": self.limit}

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, index: int) -> Image.Image:
        """The image of a sample, RGB."""
        post(f"sample {index} of {self.folder}")
        return Image.fromarray(np.asarray(self._images[index]))

    def captions(self, index: int, kind: str | None = None) -> Sequence[str]:
        """The captions of a sample, all of them of the default kind."""
        return self._captions[index] if kind in (None, "default") else ()
