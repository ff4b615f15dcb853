"""What the decoded images of a split are known by: everything that their pixels depend on."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import open_clip
import PIL
import torchvision
from PIL import features

from fomo.data import depth, images, metadata
from fomo.data.joined import Joined
from fomo.data.samples import Dataset, Samples
from fomo.data.shards import ShardSamples, shard_path
from fomo.model import preprocess as preprocessing
from fomo.model.preprocess import Preprocess
from fomo.stream.fingerprint import samples_sha256
from fomo.system.digest import json_digest

SOURCES = (images, depth, metadata, preprocessing)
"""The modules that make pixels of an image file."""


def image_key(dataset: Dataset, samples: Samples, preprocess: Preprocess) -> str | None:
    """A hash of the dataset's files and index, of how its images are cropped, and of the code that does so.

    ``None`` where the samples do not lie in shards: what the pixels of others depend on is not known, and those that
    are arrays already, as the pocket's, are not worth it. ``None`` too where a shard is gone, as the reader will say.
    """
    shards = shards_of(samples)
    if shards is None or not all(path.is_file() for path in shards):
        return None
    stored = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in shards]
    geometry = (preprocess.size, preprocess.interpolation, preprocess.resize_mode, preprocess.fill_color)
    files = dict(dataset.card.hashes)
    return json_digest([files, samples_sha256(samples), stored, geometry, decoder()])[:32]


def shards_of(samples: Samples) -> list[Path] | None:
    """The tar files that samples lie in, or ``None`` if some lie elsewhere."""
    if isinstance(samples, ShardSamples):
        numbers = np.unique(samples.column("shard"))
        return [shard_path(samples.folder, samples.name, int(number)) for number in numbers]
    if not isinstance(samples, Joined):
        return None
    parts = [shards_of(part.samples) for part in samples.parts]
    return None if None in parts else [path for part in parts if part for path in part]


@lru_cache(maxsize=1)
def decoder() -> str:
    """A hash of the code that decodes and crops, ours and that of the libraries."""
    versions = [PIL.__version__, torchvision.__version__, open_clip.__version__]
    versions += [str(features.version(name)) for name in ("jpg", "libjpeg_turbo", "webp", "libtiff", "zlib")]
    return json_digest([versions, [Path(str(each.__file__)).read_text(encoding="utf-8") for each in SOURCES]])
