"""A dataset: noisy colours, drawn when they are looked at."""

import numpy as np
from PIL import Image

from fomo.data.card import DatasetCard
from fomo.data.samples import Dataset

COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (40, 60, 200)}
SIZES = {"train": 90, "test": 30}


class Swatches:
    """The samples of one split; classes take turns."""

    def __init__(self, split):
        self.split = split
        self.targets = np.arange(SIZES[split]) % len(COLOURS)

    def __len__(self):
        return len(self.targets)

    def image(self, index):
        """Return the image of a sample, the same at every call."""
        rng = np.random.default_rng((sorted(SIZES).index(self.split), index))
        colour = list(COLOURS.values())[self.targets[index]]
        pixels = rng.normal(colour, 20, (32, 32, 3)).clip(0, 255)
        return Image.fromarray(pixels.astype(np.uint8))

    def captions(self, index, kind=None):
        """Return no captions: the prompt of the class is trained on."""
        return ()


def swatches():
    """Return the dataset, which has the name of its entry point."""
    return Dataset(DatasetCard("swatches", tuple(COLOURS), ("a {} square.",), SIZES), Swatches)
