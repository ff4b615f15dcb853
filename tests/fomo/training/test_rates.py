"""Rates by group: the schedule multiplies what a group was made with, in a run, over a stop, in a rehearsal."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fomo.errors import FomoError
from fomo.results.layout import EVENTS, WEIGHTS
from fomo.training.rates import SCALE, set_rate, with_scales
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.helpers import put
from tests.fomo.running.test_resume import OFTEN, cut_run

SOURCE = '''
import torch


def layered(parameters, lr, factor=0.1, kind="SGD", noted=[]):
    """The image tower at a rate of its own; ``noted`` takes in the rates of every step."""
    image = [p for name, p in parameters if name.startswith("visual.")]
    others = [p for name, p in parameters if not name.startswith("visual.")]
    optimizer = getattr(torch.optim, kind)([{"params": others, "lr": lr}, {"params": image, "lr": lr * factor}], lr=lr)
    optimizer.register_step_pre_hook(lambda made, *_: noted.append([group["lr"] for group in made.param_groups]))
    return optimizer


def forgotten(parameters, lr):
    return None
'''
ONE_TASK = ("num_tasks=1", "schedule=cosine", *tiny.COUNTED, "budget.total_mafs=15")


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Overrides that take the optimizer of somebody else's module."""
    put(tmp_path / "layers_of_mine.py", SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    target = "optimizer._target_=layers_of_mine.layered"
    return ("optimizer=own", target, "runtime.allow_targets=[layers_of_mine]", *ONE_TASK)


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.ones(2))


def test_a_group_keeps_its_ratio_and_its_factor() -> None:
    groups = [
        {"params": [parameter()]},
        {"params": [parameter()], "lr": 0.003},
        {"params": [parameter()], "lr_scale": 0.5},
        {"params": [parameter()], "lr": 0.003, "lr_scale": 0.5},
        {"params": [parameter()], "lr": torch.tensor(0.006)},
    ]
    optimizer = with_scales(torch.optim.SGD(groups, lr=0.03), 0.03)
    scales = [group[SCALE] for group in optimizer.param_groups]
    assert scales[0] == 1.0 and scales[1:] == pytest.approx([0.1, 0.5, 0.05, 0.2])
    for rate in (0.03, 0.01, 0.0):
        set_rate(optimizer, rate)
        assert [group["lr"] for group in optimizer.param_groups] == [rate * scale for scale in scales]


@pytest.mark.parametrize("given", [{"lr": math.nan}, {"lr_scale": -1.0}, {"lr_scale": math.inf}])
def test_a_rate_that_is_none_is_refused(given: dict[str, float]) -> None:
    optimizer = torch.optim.SGD([{"params": [parameter()], **given}], lr=0.1)
    with pytest.raises(FomoError, match=r"group 0 of SGD is made with lr=.*finite numbers from 0"):
        with_scales(optimizer, 0.1)


def test_the_schedule_multiplies_over_a_stop_and_events_say_the_peak(guest: tuple[str, ...], tmp_path: Path) -> None:
    overrides = (*guest, "+optimizer.kind=AdamW")
    whole = tiny.run(tmp_path / "whole", *overrides)
    import layers_of_mine  # type: ignore[import-not-found]

    (noted,) = layers_of_mine.layered.__defaults__[2:]
    events = [json.loads(line) for line in (whole / EVENTS).read_text().splitlines()]
    rates = [event["lr"] for event in events if event["event"] == "step"]
    assert noted[-len(rates) :] == [[rate, rate * (1e-3 * 0.1 / 1e-3)] for rate in rates] and len(set(rates)) >= 3
    assert cut_run(tmp_path / "run", [4], *overrides, OFTEN) == 1
    assert differences(whole, tmp_path / "run") == []


def test_a_group_at_rate_0_stays(guest: tuple[str, ...], tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", *guest, "+optimizer.factor=0")
    base = tiny.snapshot(tiny.prepared().model.network)
    moved = tiny.changed(base, load_file(run / WEIGHTS))
    assert moved and not [name for name in moved if name.startswith("visual.")]


def test_what_returns_no_optimizer_is_refused(guest: tuple[str, ...]) -> None:
    with pytest.raises(FomoError, match=r"layers_of_mine\.forgotten returned a NoneType: expected is a torch\.optim"):
        tiny.prepared(*guest, "optimizer._target_=layers_of_mine.forgotten")
    with pytest.raises(FomoError, match=r"optimizer: AttributeError.*SDG.*layers_of_mine\.py, line \d+: optimizer ="):
        tiny.prepared(*guest, "+optimizer.kind=SDG")
