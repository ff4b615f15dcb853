"""The run folder: whose it is, and whether the run in it is finished."""

import errno
import os
import shutil
from enum import Enum
from pathlib import Path

from fomo.config.schema import Resolved, comparable, differences, read_values
from fomo.errors import FomoError
from fomo.results.files import refuse_odd_files
from fomo.system.lock import LOCK
from fomo.system.writing import scratch_of, write_text

FILES = ("config.yaml", "stream.json", "scores.json", "ledger.json", "events.jsonl", "report.html", "card.json")
CHECKPOINTS = Path("checkpoint")
WEIGHTS = CHECKPOINTS / "final.safetensors"
BAD_BATCH = Path("bad_batch.safetensors")
"""The batch whose loss was not finite."""
WORK = Path("work")
"""Where methods keep files of their own, such as one expert per task."""


class State(Enum):
    """What a run finds in its folder."""

    NEW = "new"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


def run_folder(resolved: Resolved) -> Path:
    """The folder that the user chose, or ``runs/`` and the hash of the configuration."""
    chosen = resolved.config.run.dir
    return Path(chosen) if chosen else Path("runs") / resolved.sha256[:12]


def state_of(folder: Path, resolved: Resolved) -> State:
    """Whether the run can start in ``folder``.

    Raises:
        FomoError: it holds another experiment, or something that is no run.
    """
    if folder.is_file():
        raise FomoError(f"run.dir={folder} is a file: choose a folder.")
    refuse_odd_files(folder)
    if not folder.is_dir() or not set(_names(folder)) - {LOCK, scratch_of(folder / "config.yaml").name}:
        return State.NEW
    if resolved.config.resume == "never":
        raise FomoError(f"resume=never: run.dir={folder} is not empty. Choose another run.dir, or resume=auto.")
    if not (folder / "config.yaml").is_file():
        raise FomoError(f"run.dir={folder} is not empty and holds no run: choose another folder.")
    changed = differences(comparable(read_values(folder / "config.yaml")), comparable(resolved.values))
    if changed:
        shown = "; ".join(changed[:5]) + ("; …" if len(changed) > 5 else "")
        raise FomoError(f"run.dir={folder} holds another experiment ({shown}). Choose another run.dir.")
    return State.FINISHED if (folder / "card.json").is_file() else State.UNFINISHED


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def check_resumable(folder: Path, resolved: Resolved, found: bool) -> None:
    """Refuse to start anew where ``resume=must`` says so; ``found``: there is a checkpoint, or a finished run."""
    if resolved.config.resume == "must" and not found:
        raise FomoError(f"resume=must: run.dir={folder} holds no checkpoint to go on from. Take resume=auto.")


def is_full(error: Exception) -> bool:
    """Whether a file could not be written for want of room: disk, quota or limit. safetensors has it in words alone."""
    kinds = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    number = getattr(error, "errno", None)
    return number in kinds if number else any(os.strerror(kind) in str(error) for kind in kinds)


def start(folder: Path, resolved: Resolved) -> None:
    """Make the folder, without the files of an unfinished run, and store the configuration."""
    for name in reversed(FILES[1:]):  # the configuration, which says whose folder it is, is replaced at once
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "config.yaml", resolved.to_yaml())
