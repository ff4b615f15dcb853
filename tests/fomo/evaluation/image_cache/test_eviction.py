"""Which decoded images go when there is no more room."""

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fomo.evaluation.image_cache import Draft, ImageCache
from fomo.evaluation.image_file import CRC_BYTES, Stored
from tests.fomo.evaluation.image_cache.images import files


def keep(cache: ImageCache, key: str, num_bytes: int) -> bool:
    """Write images of a key; whether they were taken."""
    found = cache.find(key, num_bytes, key)
    if not isinstance(found, Draft):
        return False
    with closing(found):
        found.add(np.zeros((1, num_bytes, 1, 1), np.uint8))
    return True


def keys(folder: Path) -> str:
    return "".join(path.stem for path in files(folder))


def test_the_least_recently_used_make_room_and_what_is_in_use_stays(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit = 3 * (1000 + CRC_BYTES)
    other = ImageCache(folder, limit)
    for number, key in enumerate("abc"):
        assert keep(other, key, 1000)
        os.utime(other.path(key), ns=(number, number))
    assert not keep(ImageCache(folder, limit), "d", 1000), "all are open"
    assert keys(folder) == "abc" and "no room" in caplog.text
    del other
    reader = ImageCache(folder, limit)
    assert isinstance(reader.find("a", 1000, "a"), Stored), "used last, now"
    del reader
    holder = ImageCache(folder, limit)
    holder._open["b"] = Stored(holder.path("b").open("rb"))
    cache = ImageCache(folder, limit)
    assert keep(cache, "d", 1000) and keys(folder) == "abd", "c is the oldest that nobody has open"
    assert not keep(cache, "e", 2000) and keys(folder) == "abd", "nothing goes in vain"
    assert not keep(cache, "f", limit + 1) and keys(folder) == "abd"
    del holder
    assert keep(cache, "e", 2000) and keys(folder) == "de"


def test_a_lower_limit_is_kept_to_and_what_is_left_half_written_goes_first(folder: Path) -> None:
    for key in "abc":
        keep(ImageCache(folder, 10**6), key, 1000)
    (folder / ".x.images.partial").write_bytes(bytes(5000))
    os.utime(folder / ".x.images.partial", ns=(1, 1))
    assert keep(ImageCache(folder, 2100), "d", 1000)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2100 and "d" in keys(folder)
