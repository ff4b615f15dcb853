"""How far the verification of a dataset has come, so that one that was interrupted goes on.

Kept in the cache under the hash of the dataset's card, which holds the hashes of all files: what was found whole counts
for exactly these bytes, and only once the files' hashes were compared anew.
"""

import json
import time
from pathlib import Path

from fomo.system.cache import cache_home
from fomo.system.digest import file_digest
from fomo.system.writing import write_text

SECONDS = 5.0
"""Least time between two notes."""


class Verified:
    """How many samples of each split, counted from the first, were found whole."""

    def __init__(self, card: Path) -> None:
        self._file = cache_home() / "verified" / f"{file_digest(card)}.json"
        self._rows = self._read()
        self._written = time.monotonic()

    def _read(self) -> dict[str, int]:
        try:
            rows = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(split): int(number) for split, number in rows.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # no note, or not one of ours: begin anew

    def rows(self, split: str) -> int:
        """How many samples of a split, counted from the first, need not be read again."""
        return max(self._rows.get(split, 0), 0)

    def advance(self, split: str, rows: int) -> None:
        """Note that the first ``rows`` samples are whole. A cache that cannot be written is done without."""
        self._rows[split] = rows
        if time.monotonic() - self._written < SECONDS:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file, json.dumps(self._rows), shared=True)
        except OSError:
            return
        self._written = time.monotonic()

    def finish(self) -> None:
        """The verification has come to its end: another one reads everything."""
        self._file.unlink(missing_ok=True)
