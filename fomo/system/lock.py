"""One process per run folder: a lock that the operating system drops with its holder, however that ends.

A POSIX record lock (``fcntl``), which forked workers do not inherit. On one machine it always holds; over NFS it holds
between machines where the mount has locking (NFSv4, or v3 with lockd; not with ``nolock``). A file system that has no
locks is used without one, with a warning: then it is up to you to start a run once.
"""

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fomo.errors import FomoError

LOCK = ".lock"
_log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, setting: str = "run.dir") -> Iterator[None]:
    """Hold ``folder``, which ``setting`` has named, during the block; it is made if it is not there.

    Raises:
        FomoError: another process holds it, or it cannot be made or written to.
    """
    with _opened(folder, setting) as file:
        _take(file, folder, setting)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def _opened(folder: Path, setting: str = "run.dir") -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise not_writable(folder, error.strerror, setting) from None


def not_writable(folder: Path, why: str | None, setting: str = "run.dir") -> FomoError:
    """The error for a folder in which no file can be made."""
    return FomoError(
        f"{setting}={folder} cannot be written to ({why}): choose another {setting}, or have it made yours."
    )


def check_free(folder: Path) -> None:
    """Refuse a folder that another process holds, or that cannot be written to, before anything long starts.

    Raises:
        FomoError: it is held, or not this user's to write to.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise not_writable(folder, f"{there} is no folder of yours")
    if (folder / LOCK).is_file():
        with _opened(folder) as file:
            _take(file, folder)


def _take(file: IO[str], folder: Path, setting: str = "run.dir") -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise FomoError(
                f"{setting}={folder} is in use by {holder}: wait for it, or choose another {setting}."
            ) from None
        _log.warning("%s: this file system has no locks (%s); see to it that one process runs here", folder, error)
