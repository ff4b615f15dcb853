"""Decoded images of evaluated splits, kept on disk, so that runs decode them once.

``FOMO_CACHE/images/KEY.images`` holds the images of a split as a model sees them, uint8 [n, s, s, 3], and behind them
the CRC-32 of these bytes. ``.KEY.images.partial`` is one that is being written; it is renamed when it is whole. Of
files that no process uses (:mod:`fomo.evaluation.image_file`) the least recently used make room for new ones, and what
a killed process left is written anew. A cache that cannot be used is done without, which is said once.
"""

import logging
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from fomo.evaluation.image_file import CRC_BYTES, Stored, claimed, is_idle
from fomo.system.cache import cache_home
from fomo.system.runtime import Runtime
from fomo.system.writing import scratch_of

SPARE_BYTES = 2**30
"""What is left free on the disk, for checkpoints."""
PATIENCE_SECONDS = 60.0
"""How long another process that is writing the same images may write nothing."""
POLL_SECONDS = 0.1
ROOM_SECONDS = 10.0
"""How long another process may be making room."""
_log = logging.getLogger(__name__)


class Draft:
    """A file that is written image by image, in order, and is kept when it is closed if it is whole then.

    Args:
        cache: where it is kept.
        key: its name there.
        file: the scratch file, locked.
        num_bytes: of all pixels.
    """

    def __init__(self, cache: "ImageCache", key: str, file: BinaryIO, num_bytes: int) -> None:
        self._cache = cache
        self._key = key
        self._file: BinaryIO | None = file
        self._missing = num_bytes
        self._crc = 0

    def add(self, images: np.ndarray) -> None:
        """Write the next images, uint8 [k, s, s, 3]."""
        if self._file is None:
            return
        pixels = np.ascontiguousarray(images)
        try:
            self._file.write(pixels.data)
        except OSError as error:
            self._drop()
            self._cache.give_up(error)
        self._crc = zlib.crc32(pixels.data, self._crc)
        self._missing -= pixels.nbytes

    def close(self) -> None:
        """Keep the file, or remove it if images are missing."""
        if self._file is None:
            return
        try:
            if self._missing == 0:
                self._file.write(self._crc.to_bytes(CRC_BYTES, "little"))
                self._file.flush()
                self._cache.keep(self._key, self._file)
            else:
                self._drop()
        except OSError as problem:
            self._drop()
            self._cache.give_up(problem)

    def _drop(self) -> None:
        file = self._file
        self._file = None
        with suppress(OSError):  # what led here says more
            scratch_of(self._cache.path(self._key)).unlink()
        with suppress(OSError):
            if file is not None:
                file.close()


class ImageCache:
    """The files in ``folder``, of at most ``limit`` bytes together, beside those that processes are using."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._open: dict[str, Stored] = {}
        self._said: set[str] = set()
        self._is_written = True

    def path(self, key: str) -> Path:
        """The file of a key, whether it is there or not."""
        return self.folder / f"{key}.images"

    def find(self, key: str, num_bytes: int, name: str) -> Stored | Draft | None:
        """What is there: images to read, or else a file to write them to, or neither.

        If another process is writing them, they are waited for as long as it goes on.

        Args:
            key: stands for the images, their order and their size.
            num_bytes: of all their pixels.
            name: of the dataset, for messages.
        """
        try:
            return self._stored(key, num_bytes, name) or (
                self._draft(key, num_bytes, name) if self._is_written else None
            )
        except OSError as error:
            self.give_up(error)
            return None

    def keep(self, key: str, file: BinaryIO) -> None:
        """Give a scratch file that is whole its name."""
        scratch_of(self.path(key)).replace(self.path(key))
        self._open[key] = Stored(file, is_checked=True)

    def give_up(self, error: OSError) -> None:
        """Write no more in this process, and say why."""
        self._is_written = False
        reason = error.strerror or str(error)
        self._say(
            "unusable",
            f"evaluation goes on without keeping decoded images: {self.folder} cannot be used ({reason}). Make room, "
            "let FOMO_CACHE name another folder, or set runtime.image_cache_gb=0.",
        )

    def damaged(self, key: str, name: str) -> None:
        """Remove a file that is not as it was written; its images are decoded again."""
        stored = self._open.pop(key, None)
        if stored is None:
            return  # it is known already
        _log.warning("%s: %s is cut short or damaged; its images are decoded again", name, self.path(key))
        if stored.is_at(self.path(key)):  # another process may have put a new one there
            self.path(key).unlink()

    def _say(self, kind: str, message: str) -> None:
        """Warn once of each kind of trouble."""
        if kind not in self._said:
            self._said.add(kind)
            _log.warning("%s", message)

    def _stored(self, key: str, num_bytes: int, name: str) -> Stored | None:
        if key not in self._open:
            try:
                self._open[key] = Stored(self.path(key).open("rb", buffering=0))
            except FileNotFoundError:
                return None
        if self._open[key].is_whole(num_bytes):
            self._open[key].used()
            return self._open[key]
        self.damaged(key, name)
        return None

    def _draft(self, key: str, num_bytes: int, name: str) -> Stored | Draft | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = scratch_of(self.path(key))
        if (file := self._waited_for(key, scratch, name)) is None:
            return self._stored(key, num_bytes, name)
        if not self.path(key).exists() and self._reserved(file, scratch, num_bytes + CRC_BYTES, name):
            return Draft(self, key, file, num_bytes)
        scratch.unlink()
        return self._stored(key, num_bytes, name)  # another process was quicker, or there is no room

    def _waited_for(self, key: str, scratch: Path, name: str) -> BinaryIO | None:
        """The scratch file of a key, once no other process is writing it; ``None`` if one has done so or hangs."""
        changed = -1
        since = time.monotonic()
        while (file := claimed(scratch)) is None:
            if self.path(key).exists():
                return None
            if (now := _changed(scratch)) != changed:
                changed = now
                since = time.monotonic()
            elif time.monotonic() - since > PATIENCE_SECONDS:
                held = f"another process holds {scratch} and has written nothing for {PATIENCE_SECONDS:g} s"
                self._say("held", f"{name}: {held}; its images are decoded here and not kept")
                return None
            self._say("waiting", f"{name}: another process is decoding its images; they are waited for")
            time.sleep(POLL_SECONDS)
        return file

    def _reserved(self, file: BinaryIO, scratch: Path, num_bytes: int, name: str) -> bool:
        """Whether there is room for a file; it then has its size, which others count."""
        with self._alone():
            has_room = self._make_room(num_bytes, scratch)
            file.truncate(num_bytes if has_room else 0)
        if not has_room:
            self._say(
                "no room",
                f"{name} and what else does not fit is decoded in every evaluation: {self.folder} has no room for its "
                f"{num_bytes / 1e9:.2g} GB (runtime.image_cache_gb={self.limit / 1e9:g}, and {SPARE_BYTES / 1e9:.2g} "
                "GB of the disk stay free).",
            )
        return has_room

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While open, no other process makes room or reserves any."""
        try:
            with FileLock(self.folder / ".lock", timeout=ROOM_SECONDS):
                yield
        except Timeout:
            raise OSError(f"another process has held .lock for {ROOM_SECONDS:g} s") from None

    def _make_room(self, num_bytes: int, own: Path) -> bool:
        """Remove files that nobody uses, the least recently used first, until so many bytes fit, if they ever can."""
        files = [path for pattern in ("*.images", ".*.partial") for path in self.folder.glob(pattern) if path != own]
        about = {path: path.stat() for path in files if path.exists()}
        used = sum(each.st_size for each in about.values())
        over = used + num_bytes - min(self.limit, used + shutil.disk_usage(self.folder).free - SPARE_BYTES)
        if over <= 0:
            return True
        idle = sorted(filter(is_idle, about), key=lambda path: about[path].st_atime_ns)
        if over > sum(about[path].st_size for path in idle):
            return False
        for path in idle:
            if over > 0:
                path.unlink()
                over -= about[path].st_size
        return True


def _changed(path: Path) -> int:
    """When a file was written to, in nanoseconds; 0 if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def cache_of(runtime: Runtime) -> ImageCache | None:
    """The cache that a run uses, one a process; ``None`` if it is to have none."""
    return _cache(cache_home() / "images", round(runtime.image_cache_gb * 1e9)) if runtime.image_cache_gb else None


@cache
def _cache(folder: Path, limit: int) -> ImageCache:
    return ImageCache(folder, limit)
