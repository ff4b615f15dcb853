"""What loggers have written, read by the readers of their own formats; and a logger that keeps what it hears."""

import json
import logging
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from fomo.loggers.logger import LoggedRun, Logger, Point
from fomo.results.scores import ScoredStream, Scores

METHOD = ("method=ewc", "regularizer.num_samples=24")
BLOCK = 32768
HEADER = 7
SCORES = Scores(Path("none"), ScoredStream("none"), "test", (), 1, {})
Told = dict[str, list[tuple[int, float]]]
"""Step of the run and value of every point, by key."""


class Keeping(Logger):
    """Keeps what it is told, and draws from every shared generator meanwhile."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def begin(self, run: LoggedRun) -> None:
        self.told.append(run)
        _disturb()

    def log(self, point: Point) -> None:
        self.told.append(point)
        _disturb()

    def end(self, finished: bool) -> None:
        self.told.append(finished)
        _disturb()

    @property
    def points(self) -> list[Point]:
        return [each for each in self.told if isinstance(each, Point)]


def _disturb() -> None:
    random.random()
    np.random.rand(3)
    torch.manual_seed(7)
    torch.rand(5)


def expected(points: list[Point]) -> Told:
    """What a logger is to show of these points."""
    found: Told = {}
    for point in points:
        for key, value in point.values.items():
            found.setdefault(key, []).append((point.step, value))
    return found


def on_tensorboard(folder: Path) -> Told:
    """What TensorBoard shows of its folder; it has values as fp32."""
    shown = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    return {tag: [(each.step, each.value) for each in shown.Scalars(tag)] for tag in shown.Tags()["scalars"]}


def on_wandb(folder: Path) -> Told:
    """The rows in all offline folders of a W&B folder, in the order of their numbers."""
    wandb.teardown()  # waits for the process that writes them
    rows = [row for file in sorted(folder.glob("offline-run-*/*.wandb")) for row in _rows(file)]
    found: Told = {}
    for row in rows:
        for key, value in row.items():
            if "/" in key:
                found.setdefault(key, []).append((row["step"], value))
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    return found


def _rows(file: Path) -> Iterator[Mapping[str, Any]]:
    for content in _records(file.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            yield {each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in record.history.item}


def _records(content: bytes) -> Iterator[bytes]:
    """LevelDB's log format: blocks of records, which are whole (1), or first (2), middle (3) and last (4) pieces."""
    at = HEADER
    pieces = b""
    while at + HEADER <= len(content):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        size = int.from_bytes(content[at + 4 : at + 6], "little")
        pieces += content[at + HEADER : at + HEADER + size]
        if content[at + 6] in (1, 4):
            yield pieces
            pieces = b""
        at += HEADER + size


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a user sees; wandb's own log is a file."""
    seen = (each for each in caplog.records if each.levelno >= logging.WARNING and each.name.startswith("fomo."))
    return [record.getMessage() for record in seen]
