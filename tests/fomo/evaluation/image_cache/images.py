"""The images of the two sets, as an evaluation reads them."""

import hashlib
from pathlib import Path

import torch

from fomo.data.samples import Dataset
from fomo.evaluation import image_cache
from fomo.evaluation.image_cache import cache_of
from fomo.evaluation.image_key import image_key
from fomo.evaluation.images import Decoder, ImageStream
from fomo.model.preprocess import Preprocess
from fomo.system.runtime import Runtime

SIZES = {"mine": 50, "seeking": 21}
LABELS = ("cat", "dog", "owl")
BATCH = 16
CPU = Runtime("cpu")


def another_process() -> None:
    """Forget what this process has open."""
    image_cache._cache.cache_clear()


def stream(datasets: dict[str, Dataset], size: int = 32) -> ImageStream:
    preprocess = Preprocess(size)
    samples = [dataset.split("test") for dataset in datasets.values()]
    keys = [image_key(each, split, preprocess) for each, split in zip(datasets.values(), samples, strict=True)]
    return ImageStream(Decoder(list(datasets), samples, preprocess), BATCH, CPU, keys, cache_of(CPU))


def digest(datasets: dict[str, Dataset]) -> str:
    """Of all pixels, as they go to the model."""
    return hashlib.sha256(torch.cat([images for _, images in stream(datasets).pieces()]).numpy()).hexdigest()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.images"))
