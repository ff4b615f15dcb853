"""``log=tensorboard``: an event file in the run folder, for ``tensorboard --logdir``."""

import os
import socket
import time
from typing import Any

from fomo.loggers.logger import LoggedRun, Logger, Point, require
from fomo.results.layout import TENSORBOARD


class TensorBoard(Logger):
    """Writes the points as scalars over the steps of the run.

    The file is written by the process itself, without a thread, and flushed after each point. A run that goes on
    writes a new file, which begins with the first point again and replaces the old one.

    Raises:
        FomoError: TensorBoard is not installed.
    """

    def __init__(self) -> None:
        require("tensorboard", "tensorboard")
        self._records: Any = None

    def begin(self, run: LoggedRun) -> None:
        """Begin a new file, and remove those of before."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = run.folder / TENSORBOARD
        folder.mkdir(exist_ok=True)
        old = list(folder.glob("events.out.tfevents.*"))
        path = folder / f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self._records = RecordWriter(path.open("wb"))
        for each in old:
            each.unlink()
        started = SessionLog(status=SessionLog.START)  # what a server has read of an older file is dropped
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._write(Event(wall_time=time.time(), step=0, session_log=started))

    def log(self, point: Point) -> None:
        """Write a point."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=key, simple_value=value) for key, value in point.values.items()]
        self._write(Event(wall_time=point.time, step=point.step, summary=Summary(value=values)))

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()

    def end(self, finished: bool) -> None:
        """Close the file."""
        self._records.close()
