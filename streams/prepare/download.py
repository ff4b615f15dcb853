"""A file of an original distribution from the web, by torchvision; a download that was cut short is gone on with."""

import shutil
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import rich.progress
from rich.console import Console
from torchvision.datasets.utils import download_url

from fomo.errors import FomoError
from streams.prepare.checksum import require_whole

TIMEOUT = 60
NOTHING_LEFT = 416


def fetch(url: str, part: Path, md5: str | None) -> None:
    """Download the file at ``url`` to ``part``; what an earlier attempt left there is not fetched again.

    Raises:
        OSError, HTTPException: the connection failed; ``part`` keeps what came.
        RuntimeError, FomoError: the file is whole, and not the one of checksum ``md5``.
    """
    if part.is_file() and part.stat().st_size and _went_on(url, part):
        try:
            require_whole(part, md5)
        except FomoError:  # what lay there was no beginning of it
            part.unlink()
        else:
            return
    download_url(url, part.parent, part.name, md5)
    require_whole(part, md5)


def _went_on(url: str, part: Path) -> bool:
    """Append to ``part`` what lacks, and whether that was possible: not every server sends files from the middle on."""
    start = part.stat().st_size
    request = Request(url, headers={"Range": f"bytes={start}-", "User-Agent": "fomo"})
    try:
        with urlopen(request, timeout=TIMEOUT) as response:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                return False
            console = Console(stderr=True)
            total = start + int(response.headers["Content-Length"])
            with (
                part.open("ab") as file,
                rich.progress.wrap_file(
                    response,
                    total - start,
                    description=f"going on with {part.stem}",
                    console=console,
                    transient=True,
                    disable=not console.is_terminal,
                ) as source,
            ):
                shutil.copyfileobj(source, file)
    except HTTPError as error:
        if error.code != NOTHING_LEFT:
            raise
        return True
    if part.stat().st_size < total:
        raise ConnectionError("the connection was closed before the end")
    return True
