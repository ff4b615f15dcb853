"""Every method preset on the tiny experiment: what it trains, and what it leaves."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from fomo.config.compose import groups
from fomo.loop import Experiment
from fomo.results.layout import WEIGHTS
from fomo.results.scores_file import read_scores
from methods.trainable import group
from tests import tiny

ADAPTED = ("in_proj_weight", "c_proj.weight", "q_proj.weight", "k_proj.weight", "v_proj.weight")
NORMS = tuple(f"{norm}.{leaf}" for norm in ("ln_1", "ln_2", "ln_pre", "ln_post", "ln_final", "bn1", "bn2", "bn3",
              "downsample.1") for leaf in ("weight", "bias"))  # fmt: skip

ALL = ("image", "text", "temperature")

# What may differ from the base model in the deployed weights after a run: groups of parameters, or name endings.
TRAINED = {
    "frozen": (),
    "finetune": ("image", "text", "temperature"),
    "locked_text": ("image",),
    "locked_image": ("text", "temperature"),
    "lora": ADAPTED,
    "lnfit": NORMS,
    "bitfit": ("bias",),
    "dora": ADAPTED,
    "vera": ADAPTED,
    "ewc": ALL,
    "si": ALL,
    "l2": ALL,
    "lwf": ALL,
    "zscl": ALL,
    "ema_merge": ("image", "text", "temperature"),
    "lora_ema": ADAPTED,
    "galore": ("image", "text", "temperature"),
    "zs_merge": ("image", "text", "temperature"),
    "ft_merge": ("image", "text", "temperature"),
    "offline_merge": ("image", "text", "temperature"),
}


def test_every_preset_has_a_row_here() -> None:
    assert sorted(TRAINED) == sorted(groups()["method"])


@pytest.mark.parametrize("model", ["pocket_resnet", "pocket"])
@pytest.mark.parametrize("method", TRAINED)
def test_a_method_changes_what_it_says_and_nothing_else(method: str, model: str, tmp_path: Path) -> None:
    base = tiny.snapshot(tiny.prepared(f"model={model}").model.network)
    run = tiny.run(tmp_path / "run", f"method={method}", f"model={model}")
    final = load_file(run / WEIGHTS)
    moved = tiny.changed(base, final)
    allowed = TRAINED[method]
    assert all(group(name) in allowed or name.endswith(allowed) for name in moved) if allowed else not moved
    for each in allowed:  # every kind that may move has moved, where the model has it
        present = any(group(name) == each or name.endswith(each) for name in base)
        assert not present or any(group(name) == each or name.endswith(each) for name in moved), each
    assert not any("running_" in name for name in moved)
    scores = read_scores(run)
    assert scores.finished
    if method == "frozen":
        assert scores.points[0].gm == scores.final.gm


def test_same_command_same_bytes_and_another_seed_another_result(tmp_path: Path) -> None:
    """Of a whole run; that each method keeps to it is for ``test_conformance.py``."""
    first = tiny.run(tmp_path / "a", "method=ema_merge")
    again = tiny.run(tmp_path / "b", "method=ema_merge")
    other = tiny.run(tmp_path / "c", "method=ema_merge", "seed=1")
    for file in ("scores.json", "ledger.json", "stream.json", str(WEIGHTS)):
        assert (first / file).read_bytes() == (again / file).read_bytes(), file
    for file in ("stream.json", str(WEIGHTS)):
        assert (first / file).read_bytes() != (other / file).read_bytes(), file


def test_frozen_takes_no_step_and_is_charged_none(tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", "method=frozen")
    assert json.loads((run / "ledger.json").read_text())["charged"] == {"steps": 0, "flops": 0}
    card = json.loads((run / "card.json").read_text())
    assert card["weight_decay"] == {"strength": 0.2, "reaches": "matrices"}


def test_experiment_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Experiment.__new__(Experiment).seed = 3  # type: ignore[misc]
