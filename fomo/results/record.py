"""What a run writes while it goes on: ``events.jsonl``, a line a step or event, and ``scores.json``."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fomo.results.layout import EVENTS
from fomo.results.scores import Evaluation, Scores

OnStep = Callable[[int, int, float], None]
"""Hears of each step: task, step, loss."""
OnEvent = Callable[[Mapping[str, Any], Scores], None]
"""Hears of each event that was written, and of the scores so far."""


class Record:
    """Writes the events and the scores of a run.

    Args:
        scores: The scores to add evaluations to; they name the folder.
        on_step: Called with task, step and loss after each step that was written.
        processes: How many take the run's steps, and how if there are two ways, as ``8 fsdp``.
        is_first: Whether this one writes; another one keeps the same and writes nothing.
        on_event: Called with each event that was written, and the scores; by default nobody is.
    """

    def __init__(
        self,
        scores: Scores,
        on_step: OnStep,
        processes: str = "1",
        is_first: bool = True,
        on_event: OnEvent = lambda event, scores: None,
    ) -> None:
        self.scores = scores
        self._on_event = on_event
        self._caveats = scores.caveats
        self._on_step = on_step
        self._processes = [processes]
        self._is_first = is_first
        path = Path(os.devnull) if not is_first else scores.folder / EVENTS
        self._events = path.open("a", encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        """Where the events end, in bytes; the evaluations, and the steps that had no effect."""
        return {
            "events_bytes": os.fstat(self._events.fileno()).st_size,
            "evaluations": [each.to_json() for each in self.scores.evaluations],
            "in_full": [each.to_json() for each in self.scores.in_full],
            "within": [each.to_json() for each in self.scores.within],
            "not_finite": list(map(dict, self.scores.not_finite)),
            "processes": self._processes,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: later events are cut off, ``scores.json`` is what it was."""
        if self._is_first:
            self._events.truncate(state["events_bytes"])
        self._note_processes(state["processes"])
        evaluations = tuple(map(Evaluation.read, state["evaluations"]))
        in_full = tuple(map(Evaluation.read, state["in_full"]))
        within = tuple(map(Evaluation.read, state.get("within", ())))
        self.scores = replace(self.scores, evaluations=evaluations, in_full=in_full, within=within)
        self._note_lost(state["not_finite"])
        if evaluations:
            self._write_scores()

    def _note_processes(self, before: Sequence[str]) -> None:
        now = self._processes[-1:]
        self._processes = [*before, *(now if now != [*before][-1:] else [])]
        if len(self._processes) > 1:
            self._caveats = (*self._caveats, f"processes: {', then '.join(self._processes)}")

    def _write_scores(self) -> None:
        if self._is_first:
            self.scores.write()

    def step(self, task: int, step: int, measured: Mapping[str, float], lost: Mapping[str, int]) -> None:
        """Write a step.

        Args:
            task: The task's number, from 1.
            step: The step of the task, from 0.
            measured: Loss, gradient norm, learning rate, batch size, rows by pool, what is charged
                so far, and what parts have logged.
            lost: What had no effect, as events have it; empty for a step that was applied.
        """
        if lost:
            self._note_lost([*self.scores.not_finite, {"task": task, "step": step, **lost}])
        self.event("step", task=task, step=step, **_finite(measured), **lost)
        self._on_step(task, step, measured["loss"])

    def logged(self, hook: str, task: int, logged: Mapping[str, float]) -> None:
        """Write what parts have logged in a hook outside of steps, if they have."""
        if logged:
            self.event(hook, task=task, **_finite(logged))

    def _note_lost(self, not_finite: Sequence[Mapping[str, int]]) -> None:
        caveats = (*self._caveats, *lost_caveats(not_finite))
        self.scores = replace(self.scores, not_finite=tuple(not_finite), caveats=caveats)

    def evaluation(self, evaluation: Evaluation, whole: Evaluation | None = None) -> None:
        """Add an evaluation, and the one of all samples where it was of a subset; write ``scores.json`` anew."""
        evaluations = (*self.scores.evaluations, evaluation)
        in_full = (*self.scores.in_full, *([whole] if whole else []))
        self.scores = replace(self.scores, evaluations=evaluations, in_full=in_full)
        self._write_scores()
        self.event("evaluation", task=evaluation.task)

    def within(self, evaluation: Evaluation) -> None:
        """Add an evaluation within a task; write ``scores.json`` anew."""
        self.scores = replace(self.scores, within=(*self.scores.within, evaluation))
        self._write_scores()
        self.event("within", task=evaluation.task, step=evaluation.step)

    def event(self, kind: str, **values: Any) -> None:
        """Write a line of ``events.jsonl``; ``time`` is its only field that differs between equal runs."""
        event = {"event": kind, **values, "time": round(time.time(), 3)}
        self._events.write(json.dumps(event, allow_nan=False) + "\n")
        self._events.flush()
        self._on_event(event, self.scores)

    def close(self) -> None:
        """Close the event file."""
        self._events.close()


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """The values as JSON can hold them: what is not finite is ``null``."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def lost_caveats(not_finite: Sequence[Mapping[str, int]]) -> list[str]:
    """What a result says of the steps that were not finite: how many were skipped, and lost by rewinds."""
    rewinds = [entry for entry in not_finite if "rewound_to" in entry]
    skipped = len(not_finite) - len(rewinds)
    found = [f"{_counted(skipped, 'step')} skipped"] if skipped else []
    if rewinds:
        steps = sum(entry["lost"] for entry in rewinds)
        found.append(f"{_counted(len(rewinds), 'rewind')}, {_counted(steps, 'step')} lost")
    return found


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
