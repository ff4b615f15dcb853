"""What a run leaves behind: the files of its folder."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fomo.errors import NotFinite
from fomo.evaluation.zero_shot import Evaluation
from fomo.results.scores import SCHEMA
from fomo.stream.definition import Stream
from fomo.system.writing import write_json
from fomo.training.nonfinite import marks

FLUSH_STEPS = 20


class Record:
    """Writes ``events.jsonl`` and ``scores.json`` while a run goes on."""

    def __init__(self, folder: Path, header: Mapping[str, Any], on_step: Callable[[int, int, float], None]) -> None:
        self._folder, self._on_step = folder, on_step
        self._scores = {"schema": SCHEMA, **header, "evaluations": []}
        self._events = (folder / "events.jsonl").open("a", encoding="utf-8")
        self._pending: list[tuple[int, int, Tensor, Tensor, float, int, Mapping[str, int]]] = []
        self._not_finite: list[dict[str, int]] = []

    def state(self) -> dict[str, Any]:
        """Where the events end, and the evaluations. Steps noted so far are written first."""
        self.flush()
        size = os.fstat(self._events.fileno()).st_size
        return {"events_bytes": size, "evaluations": self._scores["evaluations"], "not_finite": self._not_finite}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`: later events are cut off, ``scores.json`` is what it was."""
        self._events.truncate(state["events_bytes"])
        self._scores["evaluations"], self._not_finite = state["evaluations"], state["not_finite"]
        if state["evaluations"]:
            self._write_scores()

    @property
    def marks(self) -> list[str]:
        """What keeps the result from being compared freely, lost steps included."""
        return [*self._scores.get("marks", []), *marks(self._not_finite)]

    def _write_scores(self) -> None:
        lost = {"not_finite": self._not_finite} if self._not_finite else {}
        write_json(self._folder / "scores.json", {**self._scores, "marks": self.marks, **lost})

    def step(
        self,
        task: int,
        step: int,
        loss: Tensor,
        norm: Tensor,
        rate: float,
        size: int,
        lost: Mapping[str, int] | None = None,
    ) -> None:
        """Note a step, the ``size`` of its batch, and what was ``lost`` by it.

        Values stay on the device until a handful is fetched at once.
        """
        self._pending.append((task, step, loss.detach(), norm.detach(), rate, size, lost or {}))
        if lost:
            self._not_finite.append({"task": task, "step": step, **lost})
        if len(self._pending) >= FLUSH_STEPS or step == 0 or lost:
            self.flush()

    def flush(self) -> None:
        """Write the steps noted so far.

        Raises:
            NotFinite: a loss or a gradient is not finite, and was applied: going on would score a broken model.
        """
        if not self._pending:
            return
        values = torch.stack([torch.stack([loss.float(), norm.float()]) for _, _, loss, norm, *_ in self._pending])
        for (task, step, _, _, rate, size, lost), (loss, norm) in zip(self._pending, values.tolist(), strict=True):
            found = {"loss": _or_none(loss), "grad_norm": _or_none(norm)}
            self.event("step", task=task, step=step, **found, lr=rate, batch_size=size, **lost)
            for name, value in (("loss", loss), ("gradient norm", norm)):
                if not math.isfinite(value) and not lost:
                    raise NotFinite(task, step, f"the {name} is {value}")
            self._on_step(task, step, loss)
        self._pending.clear()

    def evaluation(self, task: int, evaluation: Evaluation) -> None:
        """Add an evaluation and rewrite ``scores.json``."""
        entry = {
            "task": task,
            "subset": 1.0,
            "scores": dict(evaluation.scores),
            "tasks": {str(number): score for number, score in evaluation.tasks.items()},
            "num_samples": dict(evaluation.num_samples),
        }
        self._scores["evaluations"].append(entry)
        self._write_scores()
        self.event("evaluation", task=task)

    def event(self, kind: str, **values: Any) -> None:
        """One line of ``events.jsonl``; ``time`` is its only field that differs between equal runs."""
        line = json.dumps({"event": kind, **values, "time": round(time.time(), 3)}, allow_nan=False)
        self._events.write(line + "\n")
        self._events.flush()

    def close(self) -> None:
        """Close the event file."""
        self._events.close()


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def scores_header(stream: Stream, split: str, marks: list[str], hashes: Mapping[str, str]) -> dict[str, Any]:
    """What ``scores.json`` says of the stream, of its hashes and of its datasets."""
    datasets = {
        name: {
            "role": "adaptation" if name in stream.adaptation else "retention",
            "kind": dataset.card.kind,
            "metric": dataset.card.metric,
            "num_samples": dataset.card.num_samples[split],
        }
        for name, dataset in stream.datasets.items()
    }
    about = {"name": stream.name, **hashes}
    return {"stream": about, "split": split, "marks": marks, "num_tasks": len(stream.tasks), "datasets": datasets}
