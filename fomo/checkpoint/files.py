"""A checkpoint: a numbered folder of two files, written beside, synced and renamed, so that a number means whole.

``tensors.safetensors`` holds the tensors, ``state.json`` the rest of the state, what it is the state of (``identity``)
and the SHA-256 of both, which tell what the disk has spoilt.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fomo.checkpoint.host import host_copies, host_memory
from fomo.checkpoint.tree import pack, unpack
from fomo.errors import FomoError
from fomo.system.digest import file_digest
from fomo.system.reading import parse_json
from fomo.system.writing import folder_beside

SCHEMA = "fomo.checkpoint/4"
TENSORS = "tensors.safetensors"
STATE = "state.json"
MAX_STATE_BYTES = 256 * 2**20
_log = logging.getLogger(__name__)


class Damaged(Exception):
    """The checkpoint is not what was written."""


@contextmanager
def as_written(path: Path, part: str = "state") -> Iterator[None]:
    """Whatever goes wrong with a ``part`` of a state whose hashes are right is said of it: somebody else wrote it.

    Raises:
        FomoError: instead of any other error of Python or torch.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise FomoError(
            f"{path}: its {part} is not one that this run writes ({what}). Moved out of the way it is kept, and the "
            "same command goes on from the one before it, or starts again."
        ) from error


@dataclass(frozen=True)
class Packed:
    """A snapshot: nothing in it changes with the run."""

    state: Any
    tensors: Mapping[str, Tensor]

    def tree(self, device: torch.device | str, waiting: Collection[str] = ()) -> Any:
        """What it is of: :func:`fomo.checkpoint.tree.unpack`."""
        return unpack(self.state, self.tensors, device, waiting)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and found whole."""

    path: Path
    identity: Mapping[str, Any]
    packed: Packed

    def tree(self, device: torch.device | str, waiting: Collection[str] = ()) -> Any:
        """The state, as it was given to :func:`snapshot`; what ``waiting`` names stays on the host."""
        with as_written(self.path):
            return self.packed.tree(device, waiting)


def snapshot(tree: Any) -> Packed:
    """Copy ``tree`` to the host."""
    tensors: dict[str, Tensor] = {}
    state = pack(tree, tensors)
    return Packed(state, host_copies(tensors, host_memory(tensors)).arrived())


def numbered(folder: Path) -> dict[int, Path]:
    """The checkpoints in ``folder``, whole or not, by number."""
    found = folder.iterdir() if folder.is_dir() else ()
    return dict(sorted({int(path.name): path for path in found if path.name.isdecimal() and path.is_dir()}.items()))


def write(path: Path, packed: Packed, identity: Mapping[str, Any]) -> None:
    """Write a checkpoint. What an earlier attempt left half written is replaced."""
    with folder_beside(path, synced=True) as scratch:
        save_file(dict(packed.tensors), scratch / TENSORS)
        content = {"schema": SCHEMA, "identity": identity, "tensors_sha256": file_digest(scratch / TENSORS)}
        text = _text(content | {"state": packed.state})
        digest = hashlib.sha256(text.encode()).hexdigest()
        (scratch / STATE).write_text(f'{{"sha256": "{digest}", "content":\n{text}\n}}\n', encoding="utf-8")


def _text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        Damaged: a file is not there, or not as it was written.
        FomoError: it is whole, but of a version of the code that keeps another state.
    """
    content = _content(path / STATE)
    try:
        if file_digest(path / TENSORS) != content["tensors_sha256"]:
            raise Damaged(f"{TENSORS} is not as it was written")
        with safe_open(path / TENSORS, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise Damaged(f"{TENSORS}: {error}") from None
    return Checkpoint(path, content["identity"], Packed(content["state"], tensors))


def read_identity(path: Path) -> Mapping[str, Any]:
    """What a checkpoint is the state of, its tensors unread."""
    return dict(_content(path / STATE)["identity"])


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_STATE_BYTES:
            raise Damaged(f"{STATE} is larger than {MAX_STATE_BYTES} bytes")
        whole = parse_json(path.read_bytes(), finite=False)
        content: dict[str, Any] = whole["content"]
        intact = hashlib.sha256(_text(content).encode()).hexdigest() == whole["sha256"]
        schema = content["schema"]
        shaped = isinstance(content["identity"], dict) and "state" in content and "tensors_sha256" in content
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{STATE} cannot be read: {error}") from None
    if not (intact and shaped):
        raise Damaged(f"{STATE} is not as it was written")
    if schema != SCHEMA:
        raise FomoError(
            f"{path.parent} is a checkpoint of another version of the code (schema: {schema} → {SCHEMA}). Go on with "
            "the version that wrote it, or choose another run.dir."
        )
    return content


def latest(folder: Path, events: Path) -> Checkpoint | None:
    """The newest whole checkpoint; a damaged one is passed over with a warning, as is one ahead of ``events``."""
    paths = numbered(folder)
    for path in reversed(paths.values()):
        try:
            checkpoint = read(path)
            _check_events(checkpoint, events)
            return checkpoint
        except Damaged as error:
            _log.warning("%s is damaged (%s): passed over for the one before it", path, error)
    if paths:
        _log.warning("%s holds no whole checkpoint any more", folder)
    return None


def _check_events(checkpoint: Checkpoint, events: Path) -> None:
    size = events.stat().st_size if events.is_file() else 0
    try:
        events_bytes = dict(dict(checkpoint.packed.state["dict"])["record"]["dict"])["events_bytes"]
        ahead = size < events_bytes
    except (LookupError, TypeError, ValueError) as error:
        raise Damaged(f"its state is none of a run: {error}") from None
    if ahead or events_bytes < 0:
        raise Damaged(f"{events.name} ends before it")
