"""Where the time of a run goes, by stretch of steps of one batch size and in it by phase.

On a GPU the host runs ahead of the device, so that phases are timed by events on the device's own stream. They are read
where a step ends, whose scalars have been read then: no phase waits for the device.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

import torch

Item = TypeVar("Item")
Meter = Callable[[str], AbstractContextManager[None]]
PHASES = ("data", "forward", "backward", "optimizer", "hooks", "checkpoint", "other", "evaluation")
"""Waiting for data; those of a step; hooks of parts; what keeping the state holds up; the rest of the training;
evaluation, which is no training.
"""


class Timeline(Protocol):
    """Places marks in the work of a device."""

    def mark(self) -> Any:
        """A mark behind all work that has been asked for."""

    def seconds(self, begin: Any, end: Any) -> float:
        """From one mark to another; the work before them is awaited."""


class HostTimeline:
    """The ``clock`` of this process, for devices that it does not run ahead of."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def mark(self) -> float:
        """Now."""
        return self._clock()

    def seconds(self, begin: float, end: float) -> float:
        """The difference."""
        return end - begin


class CudaTimeline:
    """Events on the current stream of a GPU."""

    def __init__(self, device: str) -> None:
        self._device = device

    def mark(self) -> torch.cuda.Event:
        """An event, which is recorded when the stream comes to it."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def seconds(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """Waits for ``end``, which is behind ``begin``."""
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000


@dataclass
class Stage:
    """Steps of one batch size, one after the other, with what lies between them."""

    batch_size: int = 0
    steps: int = 0
    flops: int = 0
    """As charged, those of hooks included."""
    tasks: list[int] = field(default_factory=list)
    """The first and the last task that it has steps of."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    """By phase."""

    @property
    def training_seconds(self) -> float:
        """All but the evaluations."""
        return sum(self.seconds.values()) - self.seconds["evaluation"]

    def take(self, other: "Stage") -> None:
        """Add the time and the FLOPs of another one."""
        self.flops += other.flops
        for phase, seconds in other.seconds.items():
            self.seconds[phase] += seconds


class Stages:
    """Times a run. What comes before the first step of a stretch is its own; what comes after its last one, too.

    Args:
        device: Whose work is timed, as torch names it.
        clock: Seconds of the host.
    """

    def __init__(self, device: str = "cpu", clock: Callable[[], float] = time.perf_counter) -> None:
        self.rows: list[Stage] = []
        self._clock = clock
        self._timeline: Timeline = CudaTimeline(device) if device.startswith("cuda") else HostTimeline(clock)
        self._pending = Stage()
        """What belongs to no row yet."""
        self._unread = dict.fromkeys(PHASES, 0.0)
        """Seconds by phase since the clock was read."""
        self._marks: list[tuple[str, Any, Any]] = []
        self._counted = 0
        """FLOPs of the task at hand that are in the rows."""
        self._phase = "other"
        """Of all time that nothing else is said of."""
        self._since = clock()

    def begin(self) -> None:
        """What was until now is no stretch's: the start of the process."""
        self._since = self._clock()

    def over(self, meter: Meter) -> Meter:
        """A meter that times what the given one counts."""

        @contextmanager
        def timed(name: str) -> Iterator[None]:
            begin = self._timeline.mark()
            with meter(name):
                yield
            self._marks.append((name, begin, self._timeline.mark()))

        return timed

    def waiting(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items, the wait for each of them timed as one for data."""
        while True:
            begin = self._clock()
            item = next(items, None)
            self._unread["data"] += self._clock() - begin
            if item is None:
                return
            yield item

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """The block is of a phase, whatever comes after an error in it."""
        self._read()
        before = self._phase
        self._phase = phase
        try:
            yield
        finally:
            self._read()
            self._phase = before

    def step(self, task: int, batch_size: int, task_flops: int) -> None:
        """A step of ``task`` has ended, for which ``task_flops`` are charged until now."""
        if not self.rows or self.rows[-1].batch_size != batch_size:
            self.rows.append(Stage(batch_size, tasks=[task, task]))
        row = self.rows[-1]
        row.steps += 1
        row.tasks[1] = task
        self._settle(task_flops)

    def end_task(self, task_flops: int) -> None:
        """A task has ended and is evaluated."""
        self._settle(task_flops)
        self._counted = 0

    def _settle(self, task_flops: int) -> None:
        """Give what is pending to the last row."""
        self._pending.flops += task_flops - self._counted
        self._counted = task_flops
        self._read()
        if self.rows:
            self.rows[-1].take(self._pending)
            self._pending = Stage()

    def _read(self) -> None:
        """Read the marks and the clock; what is in no other phase is of the one at hand."""
        for name, begin, end in self._marks:
            phase = name if name in PHASES else "hooks" if "." in name else "other"
            self._unread[phase] += self._timeline.seconds(begin, end)
        self._marks.clear()
        now = self._clock()
        self._unread[self._phase] += max(0.0, now - self._since - sum(self._unread.values()))
        self._since = now
        self._pending.take(Stage(seconds=self._unread))
        self._unread = dict.fromkeys(PHASES, 0.0)

    def state_dict(self) -> dict[str, Any]:
        """The time until now, for a checkpoint."""
        self._read()
        return {"rows": list(map(asdict, self.rows)), "pending": asdict(self._pending), "counted": self._counted}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Count on from a state."""
        self.rows = list(map(_stage, state["rows"]))
        self._pending = _stage(state["pending"])
        self._counted = state["counted"]


def _stage(state: Mapping[str, Any]) -> Stage:
    """A stage that was kept; an older version knew fewer phases."""
    return Stage(**{**state, "seconds": dict.fromkeys(PHASES, 0.0) | state["seconds"]})
