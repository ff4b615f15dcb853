"""The runs of a sweep: checked together before the first one starts; and the command of each."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from fomo.checkpoint.files import numbered
from fomo.config.schema import Resolved, resolve
from fomo.errors import FomoError
from fomo.launching.child import Work
from fomo.results.layout import CHECKPOINTS
from fomo.running.folder import FolderState, begun_again, check_resumable, run_folder, state_of
from fomo.system.lock import check_free


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Args:
        number: Its place in the sweep, from 1.
        overrides: What was typed for it.
        title: Those of them that not all runs of the sweep have.
        file: The stored configuration that it replays, if it replays one.
        resolved: Its checked configuration.
        folder: Its run folder.
        gpus: How many GPUs its process has; ``None``: those of the process at hand.
        settled: What ``auto`` of its runtime means where it will be.
        again: Whether it was begun anew, in a folder that is reserved for it.
    """

    number: int
    overrides: tuple[str, ...]
    title: str
    file: Path | None
    resolved: Resolved
    folder: Path
    gpus: int | None
    settled: Mapping[str, str]
    again: bool

    def __str__(self) -> str:
        return self.title

    @property
    def log(self) -> Path:
        """What its process prints: ``FOLDER.log``, beside the run folder."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def log_bytes(self) -> int:
        """How long its log is."""
        return self.log.stat().st_size if self.log.exists() else 0

    @property
    def command(self) -> tuple[str, ...]:
        """The command of its process: the one place that says how a run is started. With several GPUs, by torchrun."""
        several = self.gpus is not None and self.gpus > 1
        torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(self.gpus), "-m")
        return (sys.executable, "-u", "-m", *(torchrun if several else ()), "fomo", "run", *self._words())

    def _words(self) -> list[str]:
        quoted = str(self.folder).replace("'", "\\'")
        place = [f"run.dir='{quoted}'"] if self.again else []
        settled = [f"runtime.{key}={value}" for key, value in self.settled.items()]
        # whether its folder may hold a run is checked before it starts; when it is requeued, it goes on
        resume = [] if self.resolved.config.resume == "auto" and not self.again else ["resume=auto"]
        return [*(["--config", str(self.file)] if self.file else []), *self.overrides, *place, *settled, *resume]

    def work(self, environment: Mapping[str, str], cores: tuple[int, ...] = ()) -> Work:
        """What its process is started with: besides ``environment`` that no GPU is visible, where it has none."""
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if self.gpus == 0 else {}
        return Work(self.command, self.log.absolute(), {**environment, **hidden}, cores)


def settled(values: Mapping[str, Any], gpus: int | None) -> dict[str, str]:
    """What ``auto`` of a runtime means where the run will be: the machine at hand may lack the GPU that it gets.

    ``values`` are a configuration's, not yet checked.
    """
    runtime = values.get("runtime")
    if gpus is None or not isinstance(runtime, Mapping) or runtime.get("device") != "auto":
        return {}
    if gpus == 0:
        return {"device": "cpu"}
    return {"device": "cuda", **({"precision": "bf16"} if runtime.get("precision") == "auto" else {})}


def resolved_there(values: Mapping[str, Any], there: Mapping[str, str]) -> Resolved:
    """Check a configuration as it is where the run will be; whether that has a GPU cannot be checked here."""
    known = {key: value for key, value in there.items() if value != "cuda"}
    return resolve({**values, "runtime": {**values["runtime"], **known}} if known else values)


def jobs_of(
    overrides: Sequence[Sequence[str]],
    resolved: Sequence[Resolved],
    file: Path | None,
    gpus: int | None,
    settled: Sequence[Mapping[str, str]],
) -> list[Job]:
    """The runs of a sweep, each in its folder.

    Args:
        overrides: What was typed for each.
        resolved: The checked configuration of each.
        file: The stored configuration that they replay, if they do.
        gpus: How many GPUs each has; ``None``: those of the process at hand.
        settled: What :func:`settled` says of each.

    Raises:
        FomoError: two are one run.
    """
    shared = set.intersection(*map(set, overrides)) if len(overrides) > 1 else set()
    found = []
    for number, (words, run, there) in enumerate(zip(overrides, resolved, settled, strict=True), start=1):
        begun = begun_again(run, reserve=True)
        title = " ".join(word for word in words if word not in shared and not word.startswith("run.dir="))
        again = run.config.resume == "again"
        found.append(Job(number, tuple(words), title, file, begun, run_folder(begun), gpus, there, again))
    _refuse_twice(found)
    return found


def _refuse_twice(jobs: Sequence[Job]) -> None:
    first: dict[str, Job] = {}
    for job in jobs:
        other = first.setdefault(os.path.abspath(job.folder), job)
        if other is not job:
            both = f"runs {other.number} and {job.number} of the sweep are the same"
            way_out = "Take one of them out; to repeat a run, resume=again."
            raise FomoError(f"{both}, in {job.folder}: {' '.join(job.overrides)}. {way_out}")


def check_startable(job: Job) -> FolderState:
    """Refuse a run that could not start in its folder.

    Raises:
        FomoError: the folder holds something else, is in use, or cannot be written.
    """
    state = state_of(job.folder, job.resolved)
    if state is not FolderState.FINISHED:
        check_resumable(job.folder, job.resolved, bool(numbered(job.folder / CHECKPOINTS)))
        check_free(job.folder)
    return state


def check_writable(job: Job) -> None:
    """Make the folder above the run folder, and try to write there.

    Raises:
        FomoError: nothing can be written there.
    """
    try:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=job.log.parent):
            pass
    except OSError as error:
        way_out = "Choose another folder by run.dir=DIR."
        raise FomoError(f"{job.log.parent}: nothing can be written there ({error.strerror}). {way_out}") from None
