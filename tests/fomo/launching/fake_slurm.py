"""Slurm's commands, as far as submitit and a sweep use them, on this machine: ``sbatch`` starts every task of an array.

Called as ``fake_slurm.py COMMAND ARGUMENTS``; FAKE_SLURM is the folder that says how jobs are.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ.get("FAKE_SLURM", "."))
NUMBER = "17"


def install(folder: Path) -> None:
    """Make the commands in ``folder``."""
    folder.mkdir(parents=True)
    for name in ("sbatch", "srun", "sacct", "scancel", "scontrol"):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        script.chmod(0o755)


def sbatch(file: str) -> None:
    """Keep the file of the job, and start it once for every task."""
    text = Path(file).read_text()
    (HOME / "submitted.sh").write_text(text)
    if "partition=full" in text:
        sys.exit("sbatch: error: Batch job submission failed: Invalid partition name specified")
    array = re.search(r"--array='?0-(\d+)", text)
    for task in range(int(array[1]) + 1) if array else [None]:
        begin(task)
    print(f"Submitted batch job {NUMBER}")


def begin(task: int | None) -> None:
    """Start a task as a job of its own, whose state is in a file."""
    name = NUMBER if task is None else f"{NUMBER}_{task}"
    put(HOME / name, "RUNNING")
    number = NUMBER if task is None else f"{1000 + task}"
    ids = {"SLURM_JOB_ID": number, "SLURM_PROCID": "0", "SLURM_NTASKS": "1", "FAKE_JOB": name}
    if task is not None:
        ids |= {"SLURM_ARRAY_JOB_ID": NUMBER, "SLURM_ARRAY_TASK_ID": str(task)}
    with (HOME / f"{name}.out").open("ab") as log:
        job = subprocess.Popen(
            ["sh", str(HOME / "submitted.sh")], env=os.environ | ids, stdout=log, stderr=log, start_new_session=True
        )
    put(HOME / f"{name}.pid", str(job.pid))


def put(path: Path, text: str) -> None:
    """Write a file that others read at any moment."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.rename(path)


def srun(*arguments: str) -> None:
    """Run the command, after the options."""
    words = list(arguments)
    while words[0].startswith("--"):
        del words[: 2 if words[0] in ("--output", "--error") else 1]
    os.execvp(words[0], words)


def sacct(*arguments: str) -> None:
    """How every job is."""
    print("JobID|State|NodeList")
    for file in HOME.glob(f"{NUMBER}*"):
        if not file.suffix:
            state = file.read_text()
            gone = state == "RUNNING" and not alive(int(file.with_suffix(".pid").read_text()))
            print(f"{file.name}|{'FAILED' if gone else state}|here")


def alive(group: int) -> bool:
    """Whether a process of the group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def scancel(name: str) -> None:
    """SIGTERM to every process of the job."""
    put(HOME / name, "CANCELLED by 0")
    os.killpg(int((HOME / f"{name}.pid").read_text()), signal.SIGTERM)


def scontrol(verb: str, number: str) -> None:
    """Start the job anew, which is at its end."""
    assert verb == "requeue"
    name = os.environ["FAKE_JOB"]
    task = name.partition("_")[2]
    begin(int(task) if task else None)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
