"""What the data of a stream is, as a hash: results rest on it, and a leaderboard does not mix two of them.

It covers what scores depend on: names, classes and prompts of every dataset, and the samples of the splits in use. It
does not depend on the order of the stream, nor on where the data lies or how it is described.
"""

import hashlib
from collections.abc import Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from fomo.data.card import SHOWN
from fomo.data.joined import Joined
from fomo.data.samples import ArraySamples, Dataset, Samples
from fomo.data.sequential import Shards
from fomo.data.shard_index import COLUMNS
from fomo.data.shards import ShardSamples, shard_path
from fomo.errors import FomoError
from fomo.stream.definition import Stream
from fomo.system.digest import file_digest, json_digest

WHOLE_BYTES = 2**30
"""So many bytes of data are read whole, in about a second."""
BLOCK = 4096
BLOCKS = 64
"""Bytes of a block, and how many of them, that stand for a file where there is too much to be read."""
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
    """The index, place and size of every image and JSON, the shards that it points into, and how images are read."""
    shards = [shard_path(samples.folder, samples.name, int(shard)) for shard in np.unique(samples.column("shard"))]
    decoding = [] if samples.decoding == SHOWN else [samples.decoding]  # without it, as before there was a choice
    columns = (samples.column(column) for column in COLUMNS)
    return json_digest([_of_arrays(*columns), files_sha256(shards), *decoding])


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
    """The tar files, in order."""
    return files_sha256(samples.paths)


def files_sha256(paths: Sequence[Path]) -> str:
    """Hash of names and bytes of files; of more than :data:`WHOLE_BYTES` in all, of names, sizes and samples of bytes.

    Raises:
        FomoError: one of them cannot be read.
    """
    try:
        sizes = [path.stat().st_size for path in paths]
        read = file_digest if sum(sizes) <= WHOLE_BYTES else sampled_sha256
        return json_digest([[path.name, size, read(path)] for path, size in zip(paths, sizes, strict=True)])
    except OSError as error:
        raise FomoError(f"{error.filename}: cannot be read ({error.strerror}).") from None


def sampled_sha256(path: Path) -> str:
    """SHA-256 of :data:`BLOCKS` blocks of a file, evenly from its first to its last byte; of a short file, of all."""
    digest = hashlib.sha256()
    last = max(path.stat().st_size - BLOCK, 0)
    with path.open("rb") as file:
        for number in range(BLOCKS):
            file.seek(last * number // (BLOCKS - 1))
            digest.update(file.read(BLOCK))
    return digest.hexdigest()
