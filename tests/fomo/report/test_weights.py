"""The weights of a run in a folder of open_clip's: plain open_clip computes with them what the benchmark scored."""

import json
import re
import shutil
from copy import copy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fomo.config import factory
from fomo.model.clip import ClipModel
from fomo.report.weights import ABOUT, CHECKPOINT, FORM
from fomo.results.layout import CARD, WEIGHTS
from tests import tiny
from tests.fomo.helpers import error_of, picture, status
from tests.fomo.model.tiny_clip import models

__all__ = ["models"]
SHORT = ("num_tasks=1", "budget.steps=2", "stream.adaptation=[pocket_flags]")
TEXTS = ["a photo of the flag of estonia", "Ω, a Greek letter – " + "very " * 40 + "long"]
RUNS = {
    "pocket": (),
    "lora": ("method=lora", "trainable.rank=2"),
    "resnet": ("model=pocket_resnet",),
    "user": ("model=Tiny", "model.pretrained=squashed"),
    "quick": ("model=Tiny-quickgelu", "model.pretrained=quick", "model.image_size=96"),
}


@pytest.fixture(autouse=True)
def other_tests_know_no_more_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the exported page prints adds a model to open_clip's list."""
    for kept in ("_MODEL_CONFIGS", "_MODEL_CONFIG_PATHS"):
        monkeypatch.setattr(open_clip.factory, kept, copy(getattr(open_clip.factory, kept)))


def ours(run: Path, *overrides: str) -> ClipModel:
    """The model that the next run would begin with; tests of ``model.folder`` show that it is what was scored."""
    name = next((each for each in overrides if each.startswith("model=")), "model=pocket")
    options = [each for each in overrides if "image_size" in each]
    return factory.model(tiny.resolved(name, f"model.folder={run}", *options).config)


@torch.no_grad()
def features(network: Any, images: Tensor, tokens: Tensor) -> Tensor:
    network.eval()
    return torch.cat([network.encode_image(images, normalize=True), network.encode_text(tokens, normalize=True)])


def code_of(folder: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (folder / ABOUT).read_text(), re.DOTALL)


@pytest.mark.parametrize("kind", RUNS)
def test_plain_open_clip_computes_the_features_of_the_run(
    kind: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the code that the exported page prints."""
    run = tiny.run(tmp_path / "run", *SHORT, *RUNS[kind])
    assert status("export", str(run), "--weights", "--out", str(tmp_path / "out" / "model")) == 0
    monkeypatch.chdir(tmp_path / "out")
    found = dict[str, Any]()
    for block in code_of(tmp_path / "out" / "model")[:1]:
        exec(block, found)
    network, preprocess, tokenize = found["model"], found["preprocess"], found["tokenize"]
    made = ours(run, *RUNS[kind])
    images = [picture(number, (70, 50)) for number in range(3)]
    seen = torch.stack([preprocess(image) for image in images])
    cropped = torch.stack([torch.from_numpy(made.preprocess.crop(image).copy()).permute(2, 0, 1) for image in images])
    assert torch.equal(seen, made.preprocess.normalize(cropped))
    assert torch.equal(tokenize(TEXTS), made.tokenize(TEXTS))
    expected = features(made.network, seen, made.tokenize(TEXTS))
    assert torch.allclose(features(network, seen, tokenize(TEXTS)), expected, atol=1e-6)
    assert not any(
        torch.equal(a, b) for a, b in zip(expected, features(base(*RUNS[kind]), seen, tokenize(TEXTS)), strict=True)
    )
    exec(code_of(tmp_path / "out" / "model")[1], found)
    assert torch.allclose(features(found["model"], seen, tokenize(TEXTS)), expected, atol=1e-6)


def base(*overrides: str) -> Any:
    """The network that the run began with, whose features are others."""
    model = [each for each in overrides if each.startswith("model")]
    return factory.model(tiny.resolved(*model).config).network


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.run(tmp_path_factory.mktemp("exported") / "run", *SHORT)


def test_a_known_architecture_takes_the_file_under_its_own_name(models: Path, tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", *SHORT, *RUNS["user"])
    assert status("export", str(run), "--weights") == 0
    plain = open_clip.create_model("Tiny", pretrained=str(run / "open_clip" / CHECKPOINT))
    stored = load_file(run / WEIGHTS)
    assert all(torch.equal(value, stored[name]) for name, value in plain.state_dict().items())
    assert json.loads((run / "open_clip" / FORM).read_text())["preprocess_cfg"]["resize_mode"] == "squash"


def test_it_may_be_written_again_and_over_nothing_else(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    for _ in range(2):
        assert status("export", str(run), "--weights", "--out", str(out)) == 0
    assert f"local-dir:{out}" in capsys.readouterr().out
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert "holds no export" in error_of(capsys, "export", str(run), "--weights", "--out", str(tmp_path / "full"))
    assert (tmp_path / "full" / "thesis.tex").exists()


def test_what_is_not_a_finished_run_with_its_own_weights_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = shutil.copytree(run, tmp_path / "half")
    (half / WEIGHTS).unlink()
    (half / CARD).unlink()
    assert "not finished" in error_of(capsys, "export", str(half), "--weights")
    edited = shutil.copytree(run, tmp_path / "edited")
    save_file({name: value + 1 for name, value in load_file(run / WEIGHTS).items()}, edited / WEIGHTS)
    assert "not the file that the run wrote" in error_of(capsys, "export", str(edited), "--weights")
    bare = shutil.copytree(run, tmp_path / "bare")
    (bare / WEIGHTS).with_name(FORM).unlink()
    assert "none of open_clip's architectures" in error_of(capsys, "export", str(bare), "--weights")
    assert "one run at a time" in error_of(capsys, "export", str(run), str(run), "--weights")
    assert "--out is missing" in error_of(capsys, "export", str(run))
    assert not any((each / "open_clip").exists() for each in (half, edited, bare))
