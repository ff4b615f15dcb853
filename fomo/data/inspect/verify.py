"""``fomo data verify``: is a dataset whole? Files against the card, index against tars, every sample decoded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fomo.data.card import DatasetCard, read_card
from fomo.data.importing.job import Tick
from fomo.data.inspect.verified import Verified
from fomo.data.samples import CAPTION_KINDS
from fomo.data.shard_index import COLUMNS, shortened
from fomo.data.shards import ShardSamples, shard_path
from fomo.data.sources import LeftOut, tar_members
from fomo.data.stored_images import KEPT, pixel_digest
from fomo.errors import FomoError
from fomo.system.checks import is_strings
from fomo.system.digest import file_digest
from fomo.system.workers import Run, batched

CHUNK = 64


class Problem(NamedTuple):
    """Something in a dataset that is not as it should be."""

    place: str
    """A file, or a sample."""
    what: str


@dataclass(frozen=True)
class SplitCheck:
    """A split to be checked by a worker."""

    folder: Path
    split: str
    card: DatasetCard

    @property
    def samples(self) -> ShardSamples:
        """The split, opened once per process."""
        return _opened(self.folder, self.split, self.card.decoding)


@lru_cache(maxsize=1)
def _opened(folder: Path, split: str, decoding: str) -> ShardSamples:
    return ShardSamples(folder, split, decoding)


def verify(folder: Path, run: Run, decode: bool = True, tick: Tick = lambda number: None) -> Iterator[Problem]:
    """Everything that is wrong with the dataset in ``folder``.

    Args:
        folder: of the dataset.
        run: what the work is shared out by.
        decode: whether every sample is read.
        tick: called with numbers of samples as they are read.

    Raises:
        FomoError: there is no readable card.
    """
    card = read_card(folder / "dataset.json")
    name = folder.absolute().name
    _opened.cache_clear()
    if card.name != name:
        yield Problem("dataset.json", f"the dataset is named '{card.name}', its folder '{name}'")
    damaged = list(_check_files(folder, card, run))
    yield from damaged
    verified = Verified(folder / "dataset.json")
    for split, num_samples in card.num_samples.items():
        check = SplitCheck(folder, split, card)
        problem = _check_index(check, num_samples)
        if problem is not None:
            yield problem
            continue
        for problems in run(partial(_check_shard, check), np.unique(check.samples.column("shard")).tolist()):
            yield from problems
        if decode:
            yield from _read_all(check, num_samples, run, tick, None if damaged else verified)
    verified.finish()


def _read_all(
    check: SplitCheck, num_samples: int, run: Run, tick: Tick, verified: Verified | None
) -> Iterator[Problem]:
    """Decode every sample.

    Args:
        check: the split.
        num_samples: of the split.
        run: what the work is shared out by.
        tick: called with numbers of samples as they are read.
        verified: what an interrupted verification of the same bytes found whole, which is not read again; ``None``:
            read everything.
    """
    start = min(verified.rows(check.split), num_samples) if verified else 0
    tick(start)
    batches = list(batched(range(start, num_samples), CHUNK))
    for batch, problems in zip(batches, run(partial(_check_samples, check), batches), strict=True):
        tick(len(batch))
        yield from problems
        verified = None if problems else verified  # what comes after a problem is read again
        if verified:
            verified.advance(check.split, batch[-1] + 1)


def _check_files(folder: Path, card: DatasetCard, run: Run) -> Iterator[Problem]:
    there = {path.name for path in folder.iterdir()} - {"dataset.json"}
    named = set(card.hashes)
    if not named:
        yield Problem("dataset.json", "names no hashes: import the dataset anew")
        return
    yield from (Problem(name, "is missing") for name in sorted(named - there))
    yield from (Problem(name, "is not named by the card") for name in sorted(there - named))
    odd = sorted(name for name in named & there if not (folder / name).is_file())
    yield from (Problem(name, "is not a file") for name in odd)
    names = sorted((named & there) - set(odd))
    for name, digest in zip(names, run(file_digest, [folder / name for name in names]), strict=True):
        if digest != card.hashes[name]:
            yield Problem(name, "has changed: its SHA-256 is another one")


def _check_index(check: SplitCheck, num_samples: int) -> Problem | None:
    name = f"index-{check.split}.npz"
    try:
        columns = {column: check.samples.column(column) for column in COLUMNS}
    except (OSError, ValueError, KeyError, EOFError, FomoError) as error:
        return Problem(name, f"cannot be read: {error}")
    if {column.shape for column in columns.values()} != {(num_samples,)}:
        return Problem(name, f"does not hold the {num_samples} samples that the card names")
    targets = columns["target"]
    if num_samples and not -1 <= targets.min() <= targets.max() < max(len(check.card.classes), 1):
        return Problem(name, "has targets that are no classes")
    for number in np.unique(columns["shard"]).tolist():
        path = shard_path(check.folder, check.split, number)
        if not path.is_file():
            return Problem(name, f"points into shard {number}, which is missing")
        places = np.stack([columns[column] for column in COLUMNS[1:5]])[:, columns["shard"] == number]
        if places.min() < 0 or (places[[0, 2]] > path.stat().st_size - places[[1, 3]]).any():
            return Problem(name, f"points out of shard {number}")
    return None


def _check_shard(check: SplitCheck, number: int) -> list[Problem]:
    """What is wrong with a shard: its members have to be pairs of distinct keys, where the index says they are."""
    path = shard_path(check.folder, check.split, number)
    members = list(tar_members(path))
    bad = [Problem(item.path, item.reason) for item in members if isinstance(item, LeftOut)]
    found = [(item.name, item.location.offset, item.location.size) for item in members if not isinstance(item, LeftOut)]
    samples = check.samples
    rows = samples.column("shard") == number
    places = np.stack([samples.column(name)[rows] for name in COLUMNS[1:5]], axis=1).reshape(-1, 2)
    if [list(item[1:]) for item in found] != places.tolist():
        bad.append(Problem(path.name, f"index-{check.split}.npz does not fit its members"))
    if not _are_pairs([name for name, _, _ in found]):
        bad.append(Problem(path.name, "its keys are not distinct pairs of KEY.png|jpg|webp and KEY.json"))
    return bad


def _are_pairs(names: list[str]) -> bool:
    parts = [name.split(".") for name in names]
    if len(parts) % 2 or any(len(part) != 2 for part in parts):
        return False
    images = parts[::2]
    jsons = parts[1::2]
    keys = [key for key, _ in images]
    kinds = {kind for _, kind in images} <= set(KEPT.values()) and {kind for _, kind in jsons} <= {"json"}
    return kinds and keys == [key for key, _ in jsons] and len(set(keys)) == len(keys)


def _check_samples(check: SplitCheck, rows: list[int]) -> list[Problem]:
    found = ((row, _sample_problem(check.samples, check.card, row)) for row in rows)
    return [Problem(f"sample {row} of {check.split}", problem) for row, problem in found if problem]


def _sample_problem(samples: ShardSamples, card: DatasetCard, row: int) -> str:
    try:
        about = samples.about(row)
        digest = pixel_digest(samples.image(row))
    except (FomoError, ValueError) as error:
        return str(error)
    target = int(samples.targets[row])
    if not isinstance(about, dict) or about.get("class") != (card.classes[target] if target >= 0 else None):
        return "its class is not that of the index"
    if not _are_captions(about):
        return "its captions are no lists of strings"
    if digest != about.get("pixels") or shortened(digest) != int(samples.digests[row]):
        return "its image is not the one that was stored"
    return ""


def _are_captions(about: Mapping[str, Any]) -> bool:
    kinds = about.get("caption_kinds", {})
    if not isinstance(kinds, dict) or set(kinds) - set(CAPTION_KINDS):
        return False
    return all(map(is_strings, [about.get("captions"), *kinds.values()]))
