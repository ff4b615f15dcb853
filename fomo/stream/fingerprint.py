"""What the data of a stream is, as a hash: results rest on it, and a leaderboard does not mix two of them.

It covers what scores depend on: names, classes and prompts of every dataset, and the samples of the splits in use. It
does not depend on the order of the stream, nor on where the data lies or how it is described.
"""

import hashlib
from functools import singledispatch
from typing import Any

import numpy as np

from fomo.data.joined import Joined
from fomo.data.samples import ArraySamples, Dataset, Samples
from fomo.data.sequential import Shards
from fomo.data.shard_index import COLUMNS
from fomo.data.shards import ShardSamples
from fomo.stream.definition import Stream
from fomo.system.digest import json_digest

DESCRIPTIVE = ("schema", "role", "domain", "licence", "source", "counts", "num_samples", "hashes")
"""Keys of a card that no score depends on, or that are hashed otherwise, for the splits in use alone."""


def stream_data_sha256(stream: Stream, split: str) -> str:
    """Hash of the training samples, of the samples of the evaluated ``split``, and of the pool.

    Which concepts the stream uses says which training samples it does; their order and chunks do not matter here.
    """
    content: dict[str, Any] = {"concepts": sorted(map(str, stream.concepts))}
    content["pool"] = None if stream.pool is None else samples_sha256(stream.pool)
    for name, dataset in sorted(stream.datasets.items()):
        used = ("train", split) if name in stream.adaptation else (split,)
        splits = {each: _split_sha256(dataset, each) for each in used}
        card = {key: value for key, value in dataset.card.to_json().items() if key not in DESCRIPTIVE}
        content[f"dataset {name}"] = {"card": card, "splits": splits}
    return json_digest(content)


def _split_sha256(dataset: Dataset, split: str) -> str:
    shards = {file: sha256 for file, sha256 in dataset.card.hashes.items() if file.startswith(f"{split}-")}
    return json_digest([shards, samples_sha256(dataset.split(split))])


def _of_arrays(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@singledispatch
def samples_sha256(samples: Samples | Shards) -> str:
    """Hash of a split or a pool. Of a kind of samples that is not registered below, only the targets are hashed."""
    assert not isinstance(samples, Shards)
    return _of_arrays(samples.targets)


@samples_sha256.register
def _arrays_sha256(samples: ArraySamples) -> str:
    """Pixels, targets and captions, as they lie in the folder."""
    pixels = np.load(samples.folder / "images.npy", mmap_mode="r")[: samples.limit]
    captions = [samples.captions(index) for index in range(len(samples))]
    return json_digest([_of_arrays(pixels, samples.targets), captions])


@samples_sha256.register
def _shards_sha256(samples: ShardSamples) -> str:
    """The index: place and size of every image and JSON, and the targets. Card hashes stand for the shards' bytes."""
    return _of_arrays(*(samples.column(column) for column in COLUMNS))


@samples_sha256.register
def _joined_sha256(samples: Joined) -> str:
    """Every part: its samples, its rows, its prompts."""
    rows = [_of_arrays(np.asarray(part.rows, dtype=np.int64)) for part in samples.parts]
    whole = {id(part.samples): part.samples for part in samples.parts}
    hashes = {key: samples_sha256(each) for key, each in whole.items()}
    return json_digest(
        [[hashes[id(part.samples)], own, part.prompts] for part, own in zip(samples.parts, rows, strict=True)]
    )


@samples_sha256.register
def _sequential_sha256(samples: Shards) -> str:
    """Names and sizes of the tar files, in order: there are too many bytes to read them all."""
    return json_digest([[path.name, path.stat().st_size] for path in samples.paths])
