"""Whether a file of an original distribution is the one that torchvision knows."""

import tarfile
from hashlib import md5
from pathlib import Path

import rich.progress
from rich.console import Console

from fomo.errors import FomoError

CHUNK = 2**20


def require_whole(path: Path, checksum: str | None) -> None:
    """Refuse a file of another md5 ``checksum``; where that is ``None``, an archive that cannot be read to its end.

    Raises:
        FomoError: the file is not whole.
    """
    if checksum is None:
        try:
            with tarfile.open(path) as tar:
                for _ in tar:
                    pass
        except (OSError, EOFError, tarfile.TarError, ValueError) as error:
            raise FomoError(f"'{path}' is damaged ({error}): remove it and run the same command again.") from error
        return
    digest = md5(usedforsecurity=False)
    console = Console(stderr=True)
    with rich.progress.open(
        path,
        "rb",
        description=f"checking {path.name}",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != checksum:
        raise FomoError(
            f"'{path}' has md5 {digest.hexdigest()}, expected {checksum}: remove it and run the same command again."
        )
