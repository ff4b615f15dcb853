"""Stand-ins for the counting and the measuring of ``fomo budget``, called in processes that import little.

A configuration says by ``label`` what becomes of it, and by ``log`` the file that every measurement leaves a line in.
"""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fomo.errors import FomoError

PLANNED_GIB = 2.0
MEASURED_BYTES = 2**30
PROBLEMS = {
    "large": "not measured: out of memory: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "killed": "not measured: its process ended before it was done (by SIGKILL): was there enough memory?",
    "refused": "not measured: no such thing.",
    "faulty": "not measured: ZeroDivisionError: integer division or modulo by zero (measures.py, line ",
}


def jobs(log: Path, *labels: str) -> list[dict[str, Any]]:
    """Configurations of these labels."""
    return [{"label": each, "num_tasks": 2, "runtime": {"device": "cuda"}, "log": str(log)} for each in labels]


def counted(values: Mapping[str, Any], with_work: bool = False) -> dict[str, Any]:
    """A row; the process of one that is ``greedy`` is killed."""
    label = values["label"]
    if label == "greedy":
        os.kill(os.getpid(), signal.SIGKILL)
    numbers = dict.fromkeys(("gflops_per_step", "gflops_per_task_extra", "gflops_other", "mafs_per_step"), 1.0)
    about = {"method": label, "label": label, "model": "made_up", "batch_size": 8}
    of_run = {"batch_ramp": None, "batch_ladder": None, "assumed_stream": None}
    memory = {"peak_memory_gib": PLANNED_GIB, "memory_multiplier": 1.0, "steps_per_task": {"2": 3, "20": None}}
    unmeasured = {"measured_peak_memory_gib": None, "measured_to_planned": None, "problem": None}
    return {**about, **of_run, **numbers, **memory, **unmeasured}


def measured(values: Mapping[str, Any]) -> int:
    """Bytes. Says whether the process of the measurement before is there still, then does as the label says."""
    log = Path(values["log"])
    before = log.read_text().split()[-1:] if log.exists() else []
    lives = bool(before) and Path("/proc", before[0]).exists()
    with log.open("a") as file:
        file.write(f"{values['label']} {'beside' if lives else 'alone'} {os.getpid()}\n")
    if values["label"] == "large":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has little. See the manual")
    if values["label"] == "refused":
        raise FomoError("no such thing.")
    if values["label"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if values["label"] == "endless":
        time.sleep(1000)
    return MEASURED_BYTES // (values["label"] != "faulty")
