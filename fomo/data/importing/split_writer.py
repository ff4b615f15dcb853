"""Writes the samples of one split into shards, and can go on where it was interrupted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fomo.data.shard_index import ShardRow, write_index
from fomo.data.shards import ShardWriter, shard_path
from fomo.data.sources import LeftOut
from fomo.system.digest import file_digest
from fomo.system.writing import write_text

SHARD_BYTES = 256 * 2**20


@dataclass
class ShardRecord:
    """One shard and what was left out on the way to it; stored, it says that the shard is whole."""

    rows: list[ShardRow] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    caption_kinds: list[str] = field(default_factory=list)
    sha256: str = ""

    @property
    def num_consumed(self) -> int:
        """Entries of the source that this shard took."""
        return len(self.rows) + len(self.left_out)


class SplitWriter:
    """Takes the samples of a split in order; begins after the shards that earlier attempts finished.

    A shard ends with the sample that brings it to :data:`SHARD_BYTES`: where it ends is a matter of the samples alone.
    The rows of finished shards are kept in their records, not in memory.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = split
        self._record = ShardRecord()
        self._shard: ShardWriter | None = None
        self.num_consumed = 0
        """Entries of the source that need not be read again."""
        self.num_samples = 0
        self.left_out: list[LeftOut] = []
        self.class_names: set[str] = set()
        """Classes that have samples."""
        self.caption_kinds: set[str] = set()
        self._digests: list[str] = []
        for record in self._stored():
            self._note(record)

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every shard, by file name."""
        return {
            shard_path(self._folder, self._split, number).name: digest
            for number, digest in enumerate(self._digests)
            if digest
        }

    def add(self, extension: str, image: bytes, about: Mapping[str, Any]) -> None:
        """Append a sample; ``about`` is what is stored beside the image."""
        number = len(self._digests)
        if self._shard is None:
            self._shard = ShardWriter(shard_path(self._folder, self._split, number))
        key = f"{number:06d}{len(self._record.rows):06d}"
        self._record.rows.append(self._shard.add(key, extension, image, about))
        kinds = about.get("caption_kinds") or {"default": about["captions"]}
        self._record.caption_kinds += [
            kind for kind, texts in kinds.items() if texts and kind not in self._record.caption_kinds
        ]
        if self._shard.num_bytes >= SHARD_BYTES:
            self._end_shard()

    def leave_out(self, item: LeftOut) -> None:
        """Note an entry that gave no sample."""
        self._record.left_out.append(item)

    def close(self) -> None:
        """End the last shard. Entries left out after it have a record without a shard."""
        if self._record.num_consumed:
            self._end_shard()

    def write_index(self, classes: Sequence[str]) -> None:
        """The index of the split, targets being positions in ``classes``."""
        rows = (self._read(number).rows for number in range(len(self._digests)))
        write_index(self._folder, self._split, rows, classes)

    def _end_shard(self) -> None:
        number = len(self._digests)
        if self._shard is not None:
            self._shard.close()
            self._record.sha256 = file_digest(shard_path(self._folder, self._split, number))
        path = self._record_path(number)
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(asdict(self._record)))
        self._note(self._record)
        self._record = ShardRecord()
        self._shard = None

    def _note(self, record: ShardRecord) -> None:
        """Remember of a finished shard what the card needs."""
        self.num_consumed += record.num_consumed
        self.num_samples += len(record.rows)
        self.left_out += record.left_out
        self.class_names.update(row.class_name for row in record.rows if row.class_name is not None)
        self.caption_kinds.update(record.caption_kinds)
        self._digests.append(record.sha256)

    def _record_path(self, number: int) -> Path:
        return self._folder / "records" / f"{self._split}-{number:06d}.json"

    def _read(self, number: int) -> ShardRecord:
        values = json.loads(self._record_path(number).read_text(encoding="utf-8"))
        values["rows"] = [ShardRow(*row) for row in values["rows"]]
        values["left_out"] = [LeftOut(*item) for item in values["left_out"]]
        return ShardRecord(**values)

    def _stored(self) -> Iterator[ShardRecord]:
        """Records of shards that are whole, up to the first that is not."""
        number = 0
        while self._record_path(number).is_file():
            record = self._read(number)
            shard = shard_path(self._folder, self._split, number)
            if record.sha256 and (not shard.is_file() or file_digest(shard) != record.sha256):
                return
            yield record
            number += 1
