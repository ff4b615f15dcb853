"""Whether a file of an original distribution is the one that torchvision knows."""

import tarfile
from hashlib import md5
from pathlib import Path

import rich.progress
from rich.console import Console

from fomo.errors import FomoError

CHUNK = 2**20


def require_whole(path: Path, checksum: str | None) -> None:
    """Refuse a file of another checksum, or one that cannot be read to its end where no checksum is known."""
    if checksum is None:
        try:
            with tarfile.open(path) as tar:
                for _ in tar:
                    pass
        except (OSError, EOFError, tarfile.TarError, ValueError) as error:
            raise FomoError(f"'{path}' is damaged ({error}): remove it and run the same command again.") from error
        return
    digest = md5(usedforsecurity=False)
    console, about = Console(stderr=True), f"checking {path.name}"
    silent = not console.is_terminal
    with rich.progress.open(path, "rb", description=about, console=console, transient=True, disable=silent) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != checksum:
        raise FomoError(
            f"'{path}' has md5 {digest.hexdigest()}, expected {checksum}: remove it and run the same command again."
        )
