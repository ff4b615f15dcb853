"""The campaign, short; and that its comparison can fail."""

import json
import os
import signal
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fomo.config.compose import groups
from tests import tiny
from tests.faults.campaign import Campaign, in_order
from tests.faults.compare import differences, different_files
from tests.faults.jobs import IMPORTS, RUN, Job, jobs
from tests.faults.process import ENDINGS, OTHERWISE, PHASES, SOON, Fork, Ranks, _marked, phases_of
from tests.fomo.helpers import put


def test_a_few_kills_change_nothing(tmp_path: Path) -> None:
    """A merge with experts on disk, an import, random and aimed."""
    campaign = Campaign(tmp_path, seed=1)
    run = Job(RUN, ("method=offline_merge",), ("checkpoint.every_steps=1",), ("merge",))
    tree = Job("folder", ("tree",), ("--workers", "1"), ("import",))
    for job in (run, tree):
        for _ in range(10):  # a process may end before it is met in the phase
            assert campaign.trial(job, 3) == []
            if job.aims[0] in campaign.landed:
                break
    assert {"merge", "import"} <= campaign.landed.keys() and not campaign.left_behind()


PLANTED = '''
import os
import signal
from methods.trainable import Trainable
import torch

class Forgetful(Trainable):
    """Trains what it should, but moves the weights by how many processes it took: what a lost state would do."""

    def __init__(self) -> None:
        super().__init__("full")
        self.steps = 0

    def after_step(self, network):
        self.steps += 1
        if os.environ.get("KILLED") == str(self.steps):
            os.kill(os.getpid(), signal.SIGKILL)
        with torch.no_grad():
            network.logit_scale.add_(1e-4 * self.steps)
'''


def test_a_kill_of_one_process_of_two_changes_nothing(tmp_path: Path) -> None:
    """The first or the second, in a step or a merge."""
    campaign = Campaign(tmp_path, seed=1, processes=2)
    run = Job(RUN, ("method=ema_merge",), ("checkpoint.every_steps=1",), ("step", "merge"))
    while not campaign.kills:
        assert campaign.trial(run, 2) == []
    assert not campaign.left_behind()


def planted(folder: Path, monkeypatch: pytest.MonkeyPatch, steps: int, every: int) -> Job:
    """A run of a part that loses its state."""
    (folder / "planted.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(folder)
    part = ("trainable._target_=planted.Forgetful", "~trainable.what", "runtime.allow_targets=[planted]")
    return Job(RUN, (*part, f"budget.steps={steps}"), (f"checkpoint.every_steps={every}",), ("step",))


def test_a_planted_loss_of_state_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = Campaign(tmp_path / "runs", seed=0)
    job = planted(tmp_path, monkeypatch, 60, 5)
    for _ in range(8):
        if campaign.trial(job, 2):
            break
    assert "checkpoint/final.safetensors" in campaign.differing and "events.jsonl" in campaign.differing


def test_a_planted_loss_of_state_is_caught_in_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is killed in its fifth step."""
    campaign = Campaign(tmp_path / "runs", seed=0, processes=2)
    job, place = planted(tmp_path, monkeypatch, 12, 1), tmp_path / "runs" / "killed"
    whole, _ = campaign._unbroken(job)
    killed = Ranks(job.arguments(place), place, job.environment(place), each={1: {"KILLED": "5"}})
    first, second = killed.statuses(SOON)
    assert first in ENDINGS and second == -signal.SIGKILL, killed.log.read_text()
    campaign._ended(place, job)
    assert {"checkpoint/final.safetensors", "events.jsonl"} <= set(job.differences(whole, place))


def test_a_round_of_a_hundred_kills_tries_everything() -> None:
    """Every preset of a method, every schedule, every kind of import; once each, in an order that the seed gives."""
    everything = jobs()
    assert len(everything) <= 40
    round_of_it = list(islice(in_order(0, everything), len(everything)))
    assert {job for job, _ in round_of_it} == set(everything) and sum(kills for _, kills in round_of_it) <= 100
    assert {kills for _, kills in round_of_it} == {1, 2, 3, 4}
    assert round_of_it == list(islice(in_order(0, jobs()), len(everything)))
    assert round_of_it != list(islice(in_order(1, everything), len(everything)))
    tried = {option for job in everything for option in (*job.overrides, *job.free)}
    for group in ("method", "schedule", "meta_schedule"):
        names = set(groups()[group]) - {"independent"}
        assert {f"{group}={name}" for name in names} <= tried
    assert {f"runtime.num_workers={number}" for number in (0, 4)} <= tried
    assert {"experiment=joint", "experiment=replay_only", "runtime.precision=bf16"} <= tried
    assert set(IMPORTS) < {job.kind for job in everything}


def marked(*functions: str) -> set[str]:
    """The phases while these functions run."""
    return phases_of(bytes(name in functions for _, name, _ in PHASES))


def test_a_kill_meets_what_the_process_is_doing() -> None:
    assert marked() == {OTHERWISE}
    assert marked("evaluate") == {"evaluation"}
    assert marked("Methods.end_task", "TemporalMerge.end_task") == {"merge"}
    assert marked("prepare", "train", "TemporalMerge.end_task") == {"start"}  # a rehearsal
    assert marked("train", "write") == {"step", "checkpoint"}


def test_a_running_function_is_seen_from_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each marked function stops its process as it begins: how long it takes does not matter."""

    def stopping(function: Callable[..., Any], *place: Any) -> Callable[..., Any]:
        def stop(*arguments: Any, **named: Any) -> Any:
            os.kill(os.getpid(), signal.SIGSTOP)
            return function(*arguments, **named)

        return _marked(stop, *place)

    monkeypatch.setattr("tests.faults.process._marked", stopping)
    process, met = Fork(["run", *tiny.TINY, f"run.dir={tmp_path / 'run'}"], tmp_path / "run", {}), set[str]()
    while os.WIFSTOPPED(status := os.waitpid(process.group, os.WUNTRACED)[1]):
        met |= process.phases()
        os.kill(process.group, signal.SIGCONT)
    assert status == 0
    assert {"start", "step", "evaluation", "end of a task", "checkpoint", "last files"} <= met


def test_files_that_differ_or_are_missing_are_named(tmp_path: Path) -> None:
    for name, content in (("a/x/1", "1"), ("a/same", "s"), ("a/.lock", "1"), ("b/x/1", "2"), ("b/same", "s")):
        put(tmp_path / name, content)
    put(tmp_path / "b" / "more", "m")
    assert different_files(tmp_path / "a", tmp_path / "b") == ["more", "x/1"]


def fabricated(folder: Path, **changes: str) -> Path:
    (folder / "checkpoint").mkdir(parents=True)
    event = json.dumps({"event": "step", "loss": 1.0, "time": float(len(folder.name))})
    files = {"scores.json": "1", "ledger.json": "2", "stream.json": "3", "checkpoint/final.safetensors": "4"}
    for name, content in (files | {"card.json": '{"left_out": {}}', "events.jsonl": event + "\n"} | changes).items():
        (folder / name).write_text(content)
    return folder


def test_the_comparison_sees_each_file_and_neither_times_nor_notes_of_a_resume(tmp_path: Path) -> None:
    one = fabricated(tmp_path / "a")
    resumed = (one / "events.jsonl").read_text() + json.dumps({"event": "resume", "task": 1, "time": 3.0}) + "\n"
    assert differences(one, fabricated(tmp_path / "bb", **{"events.jsonl": resumed})) == []
    for name in ("scores.json", "ledger.json", "stream.json", "checkpoint/final.safetensors"):
        assert differences(one, fabricated(tmp_path / name.replace("/", "_"), **{name: "x"})) == [name]
    other = json.dumps({"left_out": {"broken": 1}})
    assert differences(one, fabricated(tmp_path / "left", **{"card.json": other})) == ["left_out of card.json"]
    other = json.dumps({"event": "step", "loss": 2.0, "time": 1.0})
    assert differences(one, fabricated(tmp_path / "loss", **{"events.jsonl": other})) == ["events.jsonl"]
