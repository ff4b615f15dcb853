"""One tar file made elsewhere with random access, for those who look at every sample of it once."""

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
    """Samples of a tar by their place in it; none has a class."""

    path: Path

    @cached_property
    def contents(self) -> Contents:
        """The usable samples, and why others are not."""
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
        """The picture of a sample, RGB."""
        member = self.contents.members[index]
        try:
            return decode(self._bytes(member.image))
        except BadImage as error:
            raise FomoError(f"{self.path}: {member.key}: {error}") from None

    def captions(self, index: int, kind: str | None = None) -> Sequence[str]:
        """The texts of a sample; none where they cannot be read."""
        texts = self.contents.members[index].texts
        try:
            return texts_of({name: self._bytes(span) for name, span in texts.items()}, kind)
        except BadImage:
            return ()

    def _bytes(self, span: Span) -> bytes:
        with self.path.open("rb") as file:
            file.seek(span.offset)
            return file.read(span.size)
