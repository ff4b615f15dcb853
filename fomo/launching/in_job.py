"""What a job of submitit does. Imports nothing heavy: every job loads it."""

import time
from dataclasses import dataclass
from subprocess import Popen
from typing import Any

from fomo.launching import child
from fomo.system.signals import REQUEUE

GRACE_SECONDS = 40.0
"""How long a job whose run was asked to stop waits to be told that it is requeued; Slurm's KillWait is 30."""


@dataclass
class RunInJob:
    """What a job of submitit does: it starts the run, and when the job is preempted, or its time is up, has it save."""

    work: child.Work
    grace_seconds: float
    _process: "Popen[bytes] | None" = None

    def __call__(self) -> int:
        """The status of the run."""
        status = child.run_to_end(self.work, self._began)
        if status == REQUEUE:  # Slurm has asked it by SIGTERM, and tells submitit later, or ends the job
            time.sleep(self.grace_seconds)
        return status

    def _began(self, process: "Popen[bytes]") -> None:
        self._process = process

    def checkpoint(self) -> Any:
        """Have the run save and end; the same is done again when the job is started anew. submitit calls it."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            child.stop_and_wait(self._process)
        return DelayedSubmission(RunInJob(self.work, self.grace_seconds))
