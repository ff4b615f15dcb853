"""An image file that an import found, and what a look at it says. Both travel to worker processes."""

from dataclasses import dataclass
from pathlib import Path

from fomo.data.card import SHOWN
from fomo.data.importing.captions import captions_of, pair_captions
from fomo.data.importing.job import RawSample
from fomo.data.sources import Location, Unusable
from fomo.data.stored_images import read_image


@dataclass(frozen=True)
class FoundImage:
    """An image file of an import.

    ``class_name`` is ``None`` where it has none, ``split`` empty where none was given; ``captions`` is ``None`` where
    they are those of the files beside it: ``text`` and, without a class, the JSON ``about`` it. ``digest`` of its
    pixels is empty before it was looked at.
    """

    root: Path
    file: Path
    class_name: str | None
    split: str = ""
    captions: tuple[str, ...] | None = None
    text: Path | None = None
    about: Path | None = None
    digest: str = ""

    @property
    def path(self) -> str:
        """Its path below the root."""
        return self.file.relative_to(self.root).as_posix()

    def read(self) -> RawSample:
        """The file and its captions; a text that cannot be used was counted when the file was looked at."""
        return RawSample(Location(self.file).read(), self.class_name, self.texts(), digest=self.digest or None)

    def texts(self) -> list[str]:
        """The captions; none where a text is there that holds none.

        Raises:
            Unusable: the image has no class, hence no prompt, and no caption that can be used.
        """
        try:
            found = self._texts()
        except Unusable:
            if self.class_name is None:
                raise
            return []
        if not found and self.class_name is None:
            raise Unusable("no caption")
        return found

    def _texts(self) -> list[str]:
        if self.captions is not None:
            return list(self.captions)
        if self.class_name is not None:
            return captions_of(self.file, self.class_name, self.text)
        return pair_captions(self.text, self.about)

    def problem_of_text(self) -> str:
        """Why the text beside an image of a class is not used; empty where it is, or is not there."""
        if self.class_name is None:  # without its text the image itself is left out
            return ""
        try:
            self._texts()
        except Unusable as reason:
            return str(reason)
        return ""


def look(images: list[FoundImage]) -> list[list[str]]:
    """In a worker, of each image: digest of its pixels, digest of its content, why it cannot be used, why its text."""
    return [
        [*each, image.problem_of_text()] for image, each in zip(images, examine([i.file for i in images]), strict=True)
    ]


def examine(paths: list[Path], decoding: str = SHOWN) -> list[list[str]]:
    """Of each image the digests of its pixels and of its content and nothing, or nothing and why it cannot be used."""
    return [_examine(path, decoding) for path in paths]


def _examine(path: Path, decoding: str) -> list[str]:
    try:
        image = read_image(Location(path).read(), decoding=decoding)
    except Unusable as reason:
        return ["", "", str(reason)]
    return [image.digest, image.content, ""]
