"""The index of a split in shards: where every sample lies, and its class.

``index-SPLIT.npz`` has a column for each of :data:`COLUMNS`, uncompressed; the rows are the samples of the split in
order.
"""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fomo.errors import FomoError

COLUMNS = ("shard", "image_offset", "image_size", "json_offset", "json_size", "target", "digest")
"""Number of the shard; where image and JSON lie in it, in bytes; class, -1 for none; 64 bits of the pixels' SHA-256."""
MEND = "`fomo data verify` says what is wrong. With that mended, the same command goes on."
"""What an error about data says one can do."""
INTEGERS = np.dtype(np.int64)
MAX_OFFSET = 2**62
LIMITS = {
    "image_size": (0, 2**30),
    "json_size": (0, 2**26),
    "target": (-1, 2**31),
    "digest": (-(2**63), 2**63 - 1),
    "shard": (0, 10**6),
}
"""Least and largest value of a column; a column that is not named here has 0 to :data:`MAX_OFFSET`."""


class ShardRow(NamedTuple):
    """A sample in a shard, as the index needs it: offsets and sizes in bytes."""

    image_offset: int
    image_size: int
    json_offset: int
    json_size: int
    class_name: str | None
    digest: str


def write_index(folder: Path, split: str, shards: Iterable[Sequence[ShardRow]], classes: Sequence[str]) -> None:
    """Write ``index-SPLIT.npz``.

    Args:
        folder: the dataset's.
        split: name of the split.
        shards: the rows of each shard, in order.
        classes: a target is the position of the sample's class in it.
    """
    targets: dict[str | None, int] = {name: number for number, name in enumerate(classes)} | {None: -1}
    parts = [
        np.array([(number, *row[:4], targets[row.class_name], shortened(row.digest)) for row in shard], dtype=np.int64)
        for number, shard in enumerate(shards)
    ]
    columns = np.concatenate([np.empty((0, len(COLUMNS)), dtype=np.int64), *filter(len, parts)]).T
    np.savez(folder / f"index-{split}.npz", **dict(zip(COLUMNS, columns, strict=True)))


def read_index(path: Path) -> dict[str, np.ndarray]:
    """The columns of ``index-SPLIT.npz``: int64 [n] each.

    Raises:
        FomoError: it is not there, or no index: nothing in it is compressed, all offsets and sizes are from 0.
    """
    if not path.is_file():
        raise FomoError(f"{path}: is not there. Dataset '{path.parent.name}' needs it; {MEND}")
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("compressed")
        with np.load(path, allow_pickle=False) as stored:
            columns = {column: stored[column] for column in COLUMNS}
    except Exception as error:  # readers of zip and npy raise anything on a damaged file
        raise FomoError(f"{path}: no index of samples ({' '.join(str(error).split())[:200]}).") from error
    if {(values.dtype, values.shape) for values in columns.values()} != {(INTEGERS, (columns["shard"].size,))}:
        raise FomoError(f"{path}: no index of samples (columns of integers, all of one length).")
    for column, values in columns.items():
        least, most = LIMITS.get(column, (0, MAX_OFFSET))
        if len(values) and not least <= values.min() <= values.max() <= most:
            raise FomoError(f"{path}: no index of samples ({column} outside of {least} to {most}).")
    return columns


def shortened(digest: str) -> int:
    """The first 64 bits of a digest, as the index holds them."""
    return int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)
