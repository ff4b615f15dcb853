"""Random access to one tar file that was made elsewhere, for those who look at every sample of it once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from fomo.data.images import BadImage, decode
from fomo.data.tar_samples import Contents, Span, scan, texts_of
from fomo.errors import FomoError


@dataclass(frozen=True)
class ScannedTar:
    """The samples of a tar in the order of the tar; none has a class."""

    path: Path

    @cached_property
    def contents(self) -> Contents:
        """The usable samples of the tar, and how many others it holds, by reason.

        Raises:
            FomoError: the file cannot be read.
        """
        try:
            return scan(self.path)
        except OSError as error:
            raise FomoError(f"{self.path}: cannot be read ({error.strerror}).") from None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path}

    def __len__(self) -> int:
        return len(self.contents.members)

    @property
    def targets(self) -> np.ndarray:
        """-1 for every sample: int64 [n]."""
        return np.full(len(self), -1)

    def image(self, index: int) -> Image.Image:
        """The image of a sample, RGB.

        Raises:
            FomoError: it is damaged.
        """
        member = self.contents.members[index]
        try:
            return decode(self._bytes(member.image))
        except BadImage as error:
            raise FomoError(f"{self.path}: {member.key}: {error}") from None

    def captions(self, index: int, kind: str | None = None) -> Sequence[str]:
        """The captions of a sample; empty where they are damaged."""
        texts = self.contents.members[index].texts
        try:
            return texts_of({name: self._bytes(span) for name, span in texts.items()}, kind)
        except BadImage:
            return ()

    def _bytes(self, span: Span) -> bytes:
        with self.path.open("rb") as file:
            file.seek(span.offset)
            return file.read(span.size)
