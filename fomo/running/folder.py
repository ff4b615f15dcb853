"""The run folder: whose it is, whether the run in it is finished, and what is to be gone on from."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path

from safetensors import SafetensorError

from fomo.checkpoint.files import Checkpoint, Damaged, latest, read
from fomo.config.schema import Resolved
from fomo.errors import FomoError
from fomo.results.config_file import check_score_version, comparable, differences, read_config
from fomo.results.layout import CARD, CHECKPOINTS, CONFIG, EVENTS, FILES, SAMPLES, WORK, refuse_odd_files
from fomo.results.stream import StreamFile
from fomo.running.prepared import Prepared
from fomo.running.resume import refuse_other
from fomo.running.thumbnails import keep_thumbnails
from fomo.system.lock import LOCK, locked
from fomo.system.ranks import from_first, is_first, together, world
from fomo.system.writing import scratch_of, write_text
from fomo.version import FIRST_SCORE_VERSION


class FolderState(Enum):
    """What a run finds in its folder."""

    NEW = "new"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


AGAIN = re.compile(r"(.+)\.again-([1-9]\d*)")
"""The folders that ``resume=again`` makes beside DIR: ``DIR.again-2``, ``DIR.again-3``, …."""


def run_folder(resolved: Resolved) -> Path:
    """The folder of a run: DIR, which the user chose, or ``runs/`` and the hash of the configuration.

    With ``resume=again`` a new one: DIR, or the next of ``DIR.again-2``, ``DIR.again-3``, …. Otherwise the newest of
    these that holds a run of this configuration, if one does.
    """
    chosen = resolved.config.run.dir
    first = Path(chosen) if chosen else Path("runs") / resolved.sha256[:12]
    if resolved.config.resume == "again":
        return _next_of(first)
    if resolved.config.resume == "never":
        return first
    newest_first = [folder for _, folder in sorted(_again(first).items(), reverse=True)]
    same = (folder for folder in newest_first if (folder / CONFIG).is_file() and not _changed(folder, resolved))
    return next(same, first)


def begun_again(resolved: Resolved, reserve: bool) -> Resolved:
    """The run in its new folder, where ``resume=again`` asks for one; ``reserve``: the folder is made at once."""
    if resolved.config.resume != "again":
        return resolved
    folder = run_folder(resolved)
    begun = resolved.begun_in(folder)
    state_of(folder, begun)
    if reserve:
        start(folder, begun)
    return begun


def _next_of(first: Path) -> Path:
    first = first if first.name.strip(".") else first.resolve()
    named = AGAIN.fullmatch(first.name)
    first = first.with_name(named[1]) if named else first
    number = max(_again(first), default=1 if first.is_dir() and not _is_new(first) else 0) + 1
    return first.with_name(f"{first.name}.again-{number}") if number > 1 else first


def _again(first: Path) -> dict[int, Path]:
    """The folders that ``resume=again`` has made beside ``first``, by number."""
    beside = first.parent.iterdir() if first.parent.is_dir() else ()
    named = ((AGAIN.fullmatch(path.name), path) for path in beside)
    return {int(found[2]): first.with_name(path.name) for found, path in named if found and found[1] == first.name}


def _is_new(folder: Path) -> bool:
    return not {path.name for path in folder.iterdir()} - {LOCK, scratch_of(folder / CONFIG).name}


def _changed(folder: Path, resolved: Resolved) -> list[str]:
    """What makes the run in ``folder`` another experiment."""
    return differences(comparable(read_config(folder)), comparable(resolved.values))


def state_of(folder: Path, resolved: Resolved) -> FolderState:
    """Whether the run can start in ``folder``.

    Raises:
        FomoError: it holds another experiment, or something that is no run.
    """
    if folder.is_file():
        raise FomoError(f"run.dir={folder} is a file: choose a folder.")
    refuse_odd_files(folder)
    if not folder.is_dir() or _is_new(folder):
        return FolderState.NEW
    if resolved.config.resume == "never":
        raise FomoError(f"resume=never: run.dir={folder} is not empty. Choose another run.dir, resume=auto or again.")
    if not (folder / CONFIG).is_file():
        raise FomoError(f"run.dir={folder} is not empty and holds no run: choose another folder.")
    found = read_config(folder).get("score_version", FIRST_SCORE_VERSION)
    check_score_version(found, f"the run in run.dir={folder}")
    changed = _changed(folder, resolved)
    if changed:
        shown = "; ".join(changed[:5]) + ("; …" if len(changed) > 5 else "")
        way_out = "Choose another run.dir, or resume=again, which starts anew beside it."
        raise FomoError(f"run.dir={folder} holds another experiment ({shown}). {way_out}")
    return FolderState.FINISHED if (folder / CARD).is_file() else FolderState.UNFINISHED


def check_resumable(folder: Path, resolved: Resolved, found: bool) -> None:
    """Refuse to start anew where ``resume=must`` says so; ``found``: there is a checkpoint, or a finished run."""
    if resolved.config.resume == "must" and not found:
        raise FomoError(f"resume=must: run.dir={folder} holds no checkpoint to go on from. Take resume=auto.")


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Be the one run in a folder, which its first rank holds; say it in a line when the disk is full.

    Raises:
        FomoError: another run is there, the folder cannot be written to, or a file could not be for want of room.
    """
    with ExitStack() as held:
        with together(f"it takes {folder}"):
            if is_first():
                held.enter_context(locked(folder))
        try:
            yield
        except (OSError, SafetensorError) as error:
            if not is_full(error):
                raise
            raise FomoError(f"{folder}: no room left ({error}). Make some; the same command goes on.") from error


def is_full(error: Exception) -> bool:
    """Whether a file could not be written for want of room: disk, quota or limit. safetensors has it in words alone."""
    kinds = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    number = getattr(error, "errno", None)
    return number in kinds if number else any(os.strerror(kind) in str(error) for kind in kinds)


def enter(prepared: Prepared, folder: Path) -> Checkpoint | None:
    """Make the run folder, or find what is to be gone on from in it; the method gets its place there.

    Raises:
        FomoError: the checkpoint is of another run, or there has to be one and is none.
    """
    found: list[Checkpoint] = []

    def entered() -> Path | None:
        found.extend(filter(None, [_entered(prepared, folder)]))
        return found[0].path if found else None

    path = from_first(entered)
    prepared.methods.work_in(folder / WORK)
    if path:
        with together(f"it reads {path}, which the first rank has written: all hosts need the same folder"):
            found = found or [_read_again(path)]
    return found[0] if found else None


def _read_again(path: Path) -> Checkpoint:
    try:
        return read(path)
    except Damaged as error:
        raise FomoError(
            f"{path}: rank {world().rank} cannot read the checkpoint ({error}). run.dir has to lie on a file system "
            "that all hosts share."
        ) from None


def _entered(prepared: Prepared, folder: Path) -> Checkpoint | None:
    found = latest(folder / CHECKPOINTS, folder / EVENTS)
    check_resumable(folder, prepared.resolved, found is not None)
    if found:
        refuse_other(found, prepared.identity)
    else:
        start(folder, prepared.resolved)
    stream = prepared.stream.definition()
    StreamFile(stream["name"], stream["tasks"], stream["retention"], **prepared.stream_hashes).write(folder)
    keep_thumbnails(prepared.stream, prepared.resolved.config.evaluation.split, folder)
    return found


def start(folder: Path, resolved: Resolved) -> None:
    """Make the folder, without the files of an unfinished run, and store the configuration."""
    for name in (
        *reversed(FILES[1:]),
        SAMPLES,
    ):  # the configuration, which says whose folder it is, is replaced at once
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, resolved.to_yaml())
