"""A stream of somebody else's: a plan over datasets that no folder and no catalogue knows."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from fomo.data.card import DatasetCard
from fomo.data.joined import Joined, part_of
from fomo.data.samples import Dataset
from fomo.stream.definition import Concept
from fomo.stream.plan import StreamPlan
from tests.fomo.helpers import picture

CLASSES = ("owl", "emu", "kiwi", "gull")


class NumberedSamples:
    """Samples whose images are known by a number."""

    def __init__(self, first: int, size: int) -> None:
        self._first = first
        self.targets = np.arange(size) % len(CLASSES)

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, index: int) -> Image.Image:
        """The image of a sample."""
        return picture(self._first + index, (16, 16))

    def captions(self, index: int, kind: str | None = None) -> list[str]:
        """One caption."""
        return [f"a drawing of a {CLASSES[self.targets[index]]}"]


def dataset(name: str, first: int, **sizes: int) -> Dataset:
    """A dataset whose images count from ``first`` in each split."""
    card = DatasetCard(name, CLASSES, ("a photo of a {}",), sizes)
    starts = {split: first + 1000 * number for number, split in enumerate(sizes)}
    return Dataset(card, lambda split: NumberedSamples(starts[split], sizes[split]))


class BirdPlan(StreamPlan):
    """Birds to learn, others to keep; ``leak`` shows a bird that is held out while the stream is learned."""

    def __init__(self, size: int = 40, leak: bool = False, absent: bool = False) -> None:
        self.name = "birds"
        self.concepts = tuple(Concept("birds", name) for name in CLASSES)
        self.retention = ("old_birds", "lost_birds") if absent else ("old_birds",)
        self._known = {
            "birds": dataset("birds", 0, train=size, test=8),
            "old_birds": dataset("old_birds", 0 if leak else 5000, test=8),
        }

    def datasets(self, names: Iterable[str]) -> dict[str, Dataset]:
        """Those of the named datasets that are there."""
        return {name: self._known[name] for name in names if name in self._known}

    def open_pool(self, split: str = "test") -> Joined:
        """The birds again."""
        return Joined((part_of(self._known["birds"], "train"),))


def opened(size: int = 40) -> object:
    """A stream that is opened already."""
    return BirdPlan(size).open(2, 0, "test")


def described(size: int = 40) -> object:
    """A description that nobody can open."""
    return {"size": size}


def seeded(seed: object = "none") -> object:
    """The seed, as it was given."""
    return seed
