"""How far the verification of a dataset has come, so that one that was interrupted goes on.

Kept in the cache under the hash of the dataset's card, which holds the hashes of all files: what was found whole counts
for exactly these bytes, and only once the files' hashes were compared anew.
"""

import hashlib
import json
import time
from pathlib import Path

from fomo.system.cache import cache_home

SECONDS = 5.0
"""At most so often the note is written."""


class Verified:
    """Samples of each split, from the first one on, that were found whole."""

    def __init__(self, card: Path) -> None:
        self._file = cache_home() / "verified" / f"{hashlib.sha256(card.read_bytes()).hexdigest()}.json"
        self._rows = self._read()
        self._written = time.monotonic()

    def _read(self) -> dict[str, int]:
        try:
            rows = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(split): int(number) for split, number in rows.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # none, or not ours: begin anew

    def rows(self, split: str) -> int:
        """How many samples need not be read again."""
        return max(self._rows.get(split, 0), 0)

    def advance(self, split: str, rows: int) -> None:
        """Note that the first ``rows`` samples are whole. A cache that cannot be written is done without."""
        self._rows[split] = rows
        if time.monotonic() - self._written < SECONDS:
            return
        scratch = self._file.with_suffix(".partial")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(json.dumps(self._rows), encoding="utf-8")
            scratch.replace(self._file)
        except OSError:
            return
        self._written = time.monotonic()

    def finish(self) -> None:
        """The verification has come to its end: another one reads everything."""
        self._file.unlink(missing_ok=True)
