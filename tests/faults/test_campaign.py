"""The campaign, short; and that its comparison can fail."""

import json
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, Setting, settings
from tests.faults.compare import differences


def test_a_few_kills_change_nothing(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, seed=1)
    for number in range(3):
        campaign.trial(number, Setting(("method=lora_ema", "trainable.rank=2"), ("checkpoint.every_steps=1",)))
    assert campaign.kills and not campaign.differing, campaign.summary()


PLANTED = '''
import os
from methods.trainable import Trainable
import torch

class Forgetful(Trainable):
    """Trains what it should, but moves the weights by how many processes it took: what a lost state would do."""

    def __init__(self) -> None:
        super().__init__("full")
        self.steps = 0

    def after_step(self, network):
        self.steps += 1
        with torch.no_grad():
            network.logit_scale.add_(1e-4 * self.steps)
'''


def test_a_planted_loss_of_state_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path)
    planted = ("trainable._target_=planted.Forgetful", "~trainable.what", "runtime.allow_targets=[planted]")
    campaign = Campaign(tmp_path / "runs", seed=0)
    (tmp_path / "runs").mkdir()
    for number in range(8):
        if campaign.trial(number, Setting(planted, ("checkpoint.every_steps=1",))):
            break
    assert "checkpoint/final.safetensors" in campaign.differing and "events.jsonl" in campaign.differing


def test_every_preset_of_a_method_and_every_schedule_is_tried() -> None:
    from fomo.compose import groups

    tried = {override for setting in settings() for override in setting.overrides}
    for group in ("method", "schedule", "meta_schedule"):
        names = set(groups()[group]) - {"finetune", "independent"}
        assert {f"{group}={name}" for name in names} <= tried


def fabricated(folder: Path, **changes: str) -> Path:
    (folder / "checkpoint").mkdir(parents=True)
    event = json.dumps({"event": "step", "loss": 1.0, "time": float(len(folder.name))})
    files = {"scores.json": "1", "ledger.json": "2", "stream.json": "3", "checkpoint/final.safetensors": "4"}
    for name, content in (files | {"card.json": "", "events.jsonl": event + "\n"} | changes).items():
        (folder / name).write_text(content)
    return folder


def test_the_comparison_sees_each_file_and_neither_times_nor_notes_of_a_resume(tmp_path: Path) -> None:
    one = fabricated(tmp_path / "a")
    resumed = (one / "events.jsonl").read_text() + json.dumps({"event": "resume", "task": 1, "time": 3.0}) + "\n"
    assert differences(one, fabricated(tmp_path / "bb", **{"events.jsonl": resumed})) == []
    for name in ("scores.json", "ledger.json", "stream.json", "checkpoint/final.safetensors"):
        assert differences(one, fabricated(tmp_path / name.replace("/", "_"), **{name: "x"})) == [name]
    other = json.dumps({"event": "step", "loss": 2.0, "time": 1.0})
    assert differences(one, fabricated(tmp_path / "loss", **{"events.jsonl": other})) == ["events.jsonl"]
