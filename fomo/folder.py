"""The run folder: whose it is, and whether the run in it is finished."""

import shutil
from enum import Enum
from pathlib import Path

from fomo.config import Resolved, comparable, differences, read_values
from fomo.errors import FomoError

FILES = ("config.yaml", "stream.json", "scores.json", "ledger.json", "events.jsonl", "report.html", "card.json")
WEIGHTS = Path("checkpoint") / "final.safetensors"
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
    if not folder.is_dir() or not any(folder.iterdir()):
        return State.NEW
    if not (folder / "config.yaml").is_file():
        raise FomoError(f"run.dir={folder} is not empty and holds no run: choose another folder.")
    changed = differences(comparable(read_values(folder / "config.yaml")), comparable(resolved.values))
    if changed:
        shown = "; ".join(changed[:5]) + ("; …" if len(changed) > 5 else "")
        raise FomoError(f"run.dir={folder} holds another experiment ({shown}). Choose another run.dir.")
    return State.FINISHED if (folder / "card.json").is_file() else State.UNFINISHED


def start(folder: Path, resolved: Resolved) -> None:
    """Make the folder, without the files of an unfinished run, and store the configuration."""
    for name in reversed(FILES):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / WEIGHTS.parent, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(resolved.to_yaml(), encoding="utf-8")
