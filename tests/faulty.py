"""A plug-in that fails where it is told to, through its real hooks; as a module file, so that a config names it."""

import zlib
from pathlib import Path

import pytest

from fomo.running.prepared import Prepared
from tests.fomo.helpers import put

SOURCE = '''
import os
import zlib

import torch
from torch._subclasses.fake_tensor import FakeTensor

import fomo


class Faulty(fomo.Method):
    """Spoils the ``batches`` (CRC-32 of their images) by ``kind``; every step moves the temperature by its number.

    Above ``most`` images, memory runs out, in training or in evaluation; FAULTY_MOST is another machine's.
    """

    def __init__(self, batches=(), kind="no_number", most=10**6, where="training", text="out of memory"):
        self.batches, self.kind, self.most, self.where, self.text = set(batches), kind, most, where, text
        self.num_steps = 0

    def begin_run(self, network, seed):
        network.visual.register_forward_pre_hook(self._limit)

    def _limit(self, module, images):
        fake, most = isinstance(images[0], FakeTensor), int(os.environ.get("FAULTY_MOST", self.most))
        if not fake and len(images[0]) > most and module.training == (self.where == "training"):
            raise (torch.OutOfMemoryError if self.text.startswith("CUDA") else RuntimeError)(self.text)

    def flops(self, hook, network, task):
        return 0 if hook == "loss" else None

    def loss(self, network, batch, loss):
        if zlib.crc32(batch.images.cpu().numpy().tobytes()) not in self.batches:
            return loss
        if self.kind == "gradient":
            return loss + (network.logit_scale * 0).sqrt()
        return loss * {"no_number": float("nan"), "infinite": float("inf")}[self.kind]

    @torch.no_grad()
    def after_step(self, network):
        self.num_steps += 1
        network.logit_scale.add_(1e-3 * self.num_steps)

    def state_dict(self):
        return {"num_steps": torch.tensor(self.num_steps)}

    def load_state_dict(self, network, state):
        self.num_steps = int(state["num_steps"])


class Greedy(fomo.Method):
    """Its hook at the end of a task finds no memory."""

    def end_task(self, network, task):
        raise MemoryError
'''


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the module importable."""
    put(folder / "faulty_part.py", SOURCE)
    monkeypatch.syspath_prepend(folder)


def faulty(**settings: object) -> tuple[str, ...]:
    """Overrides that put it in place of the regulariser."""
    given = tuple(f"+regularizer.{name}={str(value).replace(' ', '')}" for name, value in settings.items())
    return ("regularizer._target_=faulty_part.Faulty", "runtime.allow_targets=[faulty_part]", *given)


def marked(prepared: Prepared, *places: tuple[int, int]) -> list[int]:
    """The batches of these tasks and steps, as the plug-in knows them again."""
    device = prepared.resolved.config.runtime.device
    images = (prepared.model.normalize(prepared.maker[place].images.to(device)) for place in places)
    return [zlib.crc32(each.cpu().numpy().tobytes()) for each in images]
