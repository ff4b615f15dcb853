"""Tiny models of open_clip's own kinds, registered under names of their own, with tags whose weights are files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from fomo.model import names
from fomo.model.sources import without_warnings

VISION = {"image_size": 64, "layers": 1, "width": 64, "patch_size": 32}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
CONFIG: dict[str, Any] = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}
LARGER = CONFIG | {"vision_cfg": VISION | {"image_size": 96}}
WIDER = CONFIG | {"embed_dim": 48}
MODELS = {
    "Tiny": CONFIG,
    "Tiny-quickgelu": CONFIG | {"quick_gelu": True},
    "Tiny-96": LARGER,
    "Tiny-wide": WIDER,
    "Tiny-lone": WIDER | {"quick_gelu": True, "vision_cfg": VISION | {"layers": 2}},
}
SQUASHED = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "interpolation": "bilinear", "resize_mode": "squash"}
PLAIN = {"mean": (0.48, 0.45, 0.4), "std": (0.26, 0.26, 0.27), "interpolation": "bicubic", "resize_mode": "shortest"}


@pytest.fixture
def models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the tags' weights; ``plain`` is of GELU, ``quick`` of QuickGELU, ``squashed`` sees otherwise."""
    folder = tmp_path_factory.mktemp("models")
    for name, config in MODELS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
    monkeypatch.setattr(names, "open_clip_configs", lambda: folder)
    file = {"file": str(saved(folder / "tag.pt"))}
    quick = {"quick": {**PLAIN, **file, "quick_gelu": True}}
    tags = {"plain": {**PLAIN, **file}, "squashed": {**SQUASHED, **file}, **quick}
    wide = {"plain": {**SQUASHED, "file": str(saved(folder / "wide.pt", "Tiny-wide"))}}
    lone = {"plain": {**PLAIN, "file": str(saved(folder / "lone.pt", "Tiny-lone"))}}
    tagged = {"Tiny": tags, "Tiny-quickgelu": quick, "Tiny-wide": wide, "Tiny-lone": lone}
    for name, of_name in tagged.items():
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, of_name)
    yield folder


def state(name: str = "Tiny") -> dict[str, torch.Tensor]:
    """Random weights of a model, others than those that it is built with."""
    with torch.random.fork_rng(devices=[]), without_warnings():
        torch.manual_seed(5)
        network = open_clip.create_model(name)
    return {key: value + 0.01 if value.is_floating_point() else value for key, value in network.state_dict().items()}


def saved(path: Path, name: str = "Tiny") -> Path:
    """A file of random weights."""
    torch.save(state(name), path)
    return path


def packaged(folder: Path, config: dict[str, Any] = CONFIG, preprocess: dict[str, Any] | None = None) -> Path:
    """A folder as open_clip writes it: configuration and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"model_cfg": config, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    saved(folder / "open_clip_pytorch_model.bin", next(name for name, each in MODELS.items() if each == config))
    return folder
