"""SHA-256, in 64 hexadecimal characters, of files and of plain values."""

import hashlib
import json
from pathlib import Path
from typing import Any


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; it is read in pieces of 1 MiB."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


def digest(data: bytes) -> str:
    """SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def json_digest(content: Any) -> str:
    """SHA-256 of a value's JSON; the order of the keys does not matter."""
    return digest(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())
