"""Runs that are killed, beside runs that are not."""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fomo import rng
from fomo.compose import groups
from tests import tiny
from tests.faults.compare import differences

SCHEDULES = ("schedule=cosine", "schedule=constant", "schedule=rsqrt", "schedule=power", "schedule=wsd")
META = {
    "schedule=cosine": ("autoregressive", "dynamic"),
    "schedule=rsqrt": ("autoregressive", "continued", "recovered"),
}
SAVING = ("checkpoint.every_steps=1", "checkpoint.every_steps=2", "checkpoint.every_steps=null")
BESIDE = {"ewc": ("regularizer.num_samples=60",)}
SHORT = ("schedule.warmup=0.2", "schedule.cooldown=0.2")
GRACE = 120
"""Seconds after which a run that does not end is a finding."""


class Setting(NamedTuple):
    """What runs: overrides that the result depends on, and those that it must not depend on."""

    overrides: tuple[str, ...]
    free: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((*self.overrides, *self.free))


def settings() -> list[Setting]:
    """Every preset of a method with a schedule, every schedule with a meta-schedule, workers and intervals in turn."""
    methods = [(f"method={name}", *BESIDE.get(name, ())) for name in groups()["method"]]
    schedules = [(f"{s}", *_shorter(s), f"meta_schedule={m}") for s, metas in META.items() for m in metas]
    schedules += [(s, *_shorter(s)) for s in SCHEDULES]
    optimizers = [(f"optimizer={name}",) for name in ("sgd", "lamb", "galore")]
    ramp = ("batch_ramp=[[40,12]]", "batch_scaling.rule=linear")
    buffer = ("buffer.capacity=20", "buffer.policy=class_balanced")
    batches = [("mixture.batches=unmixed",), buffer, tiny.COUNTED, ramp]
    chosen = [*methods, *schedules, *optimizers, *batches, ("model=pocket_vit", "method=lora_ema", "trainable.rank=2")]
    return [
        Setting(overrides, (SAVING[number % 3], f"runtime.num_workers={4 * (number % 2)}"))
        for number, overrides in enumerate(chosen)
    ]


def _shorter(schedule: str) -> tuple[str, ...]:
    return SHORT if schedule in ("schedule=rsqrt", "schedule=wsd") else ()


@dataclass
class Campaign:
    """Kills so far, and what came of them."""

    folder: Path
    seed: int
    kills: int = 0
    runs: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    _whole: dict[tuple[str, ...], tuple[Path, float]] = field(default_factory=dict)

    def trial(self, number: int, setting: Setting) -> list[str]:
        """Kill a run one to three times in a row, let it end, compare: what differs."""
        whole, seconds = self._unbroken(setting)
        random, place = rng.generator(self.seed, "kill", number), self.folder / f"trial_{number:04d}"
        for _ in range(int(random.integers(1, 4))):
            self.kills += self._killed(place, setting, after=float(random.random()) * seconds)
        self._start(place, setting, GRACE)
        self.runs += 1
        found = differences(whole, place)
        self.differing.update(found)
        return found

    def summary(self) -> str:
        """In one line."""
        listed = ", ".join(f"{name} in {count}" for name, count in self.differing.items()) or "none"
        return f"{self.kills} kills in {self.runs} runs of {len(self._whole)} settings; differences: {listed}"

    def _unbroken(self, setting: Setting) -> tuple[Path, float]:
        key = setting.overrides
        if key not in self._whole:
            place, began = self.folder / f"whole_{len(self._whole):04d}", time.monotonic()
            self._start(place, Setting(key, ()), GRACE)
            self._whole[key] = place, time.monotonic() - began
        return self._whole[key]

    def _killed(self, place: Path, setting: Setting, after: float) -> bool:
        return self._start(place, setting, after)

    def _start(self, place: Path, setting: Setting, limit: float) -> bool:
        """``fomo run`` in a process of its own; whether it had to be killed after ``limit`` seconds."""
        child = os.fork()
        if child == 0:
            _run(place, setting)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                if status:
                    raise RuntimeError(f"{setting}: the run in {place} ended with {status}")
                return False
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if limit == GRACE:
            raise RuntimeError(f"{setting}: the run in {place} does not end")
        return True


def _run(place: Path, setting: Setting) -> None:
    """Never returns. The process is forked, so that importing torch is not what is killed most often."""
    import torch

    from fomo.cli import main

    status = 1
    try:
        torch.set_num_threads(1)  # the parent's threads are not there after a fork, and would be waited for
        log = os.open(place.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        main(["run", *tiny.TINY, *setting.overrides, *setting.free, f"run.dir={place}"])
        status = 0
    except SystemExit as error:
        status = int(error.code or 0)
    finally:
        os._exit(status)
