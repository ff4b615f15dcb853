"""Samples of classification sets whose only text is their class, for :func:`fomo.data.importing.job.bring_in`.

They travel to worker processes, so this module imports nothing large.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fomo.data.importing.job import RawSample
from fomo.data.sources import Location, Unusable
from fomo.data.stored_images import pixel_digest, png


@dataclass(frozen=True)
class FileEntry:
    """An image file of the source folder; ``digest`` of its pixels where they were read already."""

    root: Path
    file: str
    class_name: str
    digest: str | None = None

    @property
    def path(self) -> str:
        """Its path from the source folder."""
        return Path(os.path.relpath(self.file, self.root)).as_posix()

    def read(self) -> RawSample:
        """The file. Annotation files and links must not lead out of the source folder."""
        if not Path(self.file).resolve().is_relative_to(self.root.resolve()):
            raise Unusable("link out of the folder")
        return RawSample(Location(Path(self.file)).read(), self.class_name, [], digest=self.digest)


@dataclass(frozen=True)
class ArrayEntry:
    """An image that torchvision holds in memory, and its place in the split."""

    path: str
    image: Image.Image
    class_name: str

    def read(self) -> RawSample:
        """The image as PNG."""
        return RawSample(png(self.image), self.class_name, [], digest=pixel_digest(self.image.convert("RGB")))
