"""A plug-in that fails on one of a run's processes, in one of its steps, and logs in which order samples come."""

from pathlib import Path

import pytest

from tests.fomo.helpers import put

SOURCE = '''
import os
import signal

import torch
from torch._subclasses.fake_tensor import FakeTensor

import fomo


class Flawed(fomo.Method):
    """Does the FLAW "KIND RANK STEP" of the environment in its STEP-th step, in the first attempt; RANK -1: all."""

    def __init__(self):
        self.num_steps = 0

    def loss(self, network, batch, loss):
        if isinstance(loss, FakeTensor):
            return loss
        rows = fomo.gathered(batch.sources).double()
        self.log("order", float((rows.sum(1) * torch.arange(1.0, len(rows) + 1)).sum() % 1e6))
        self.num_steps += 1
        kind, rank, step = os.environ.get("FLAW", "none 0 0").split()
        here = rank in ("-1", os.environ.get("RANK", "0")) and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
        return self.fail(kind, loss) if here and self.num_steps == int(step) else loss

    def fail(self, kind, loss):
        if kind == "memory":
            raise MemoryError
        if kind == "mistake":
            raise ValueError("planted")
        if kind == "nan":
            return loss * float("nan")
        os.kill(os.getpid(), getattr(signal, kind))
        return loss

    def flops(self, hook, network, task):
        return 0 if hook == "loss" else None

    def state_dict(self):
        return {"num_steps": torch.tensor(self.num_steps)}

    def load_state_dict(self, network, state):
        self.num_steps = int(state["num_steps"])
'''
FLAWED = ("regularizer._target_=flawed_part.Flawed", "runtime.allow_targets=[flawed_part]")
"""Overrides that put it in place of the regulariser."""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the module importable, by processes that are started too."""
    put(folder / "flawed_part.py", SOURCE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
