"""What a pretraining leaves behind is whole, and what the shipped cards promise."""

import hashlib
import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from fomo.model.names import MODELS, pocket_names
from fomo.model.shipped import MERGES, compact, pocket
from streams.pocket.pretraining.card import WEIGHTS, write_model
from streams.pocket.pretraining.train import pretrain, shipped_recipe
from tests.streams.pocket.pretraining.short import SHORT, written

models = pytest.mark.parametrize("name", pocket_names())


def test_a_written_model_is_whole(tmp_path: Path) -> None:
    weights = written(tmp_path, "pocket", SHORT)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    assert card["data"]["num_samples"] == SHORT.num_samples
    assert card["recipe"] == json.loads((tmp_path / "recipe.json").read_text()) == SHORT.written()
    assert (tmp_path / "config.json").read_bytes() == (MODELS / "pocket" / "config.json").read_bytes()
    assert (tmp_path / MERGES.name).read_bytes() == MERGES.read_bytes()
    assert card["tokenizer"]["sha256"] == hashlib.sha256(MERGES.read_bytes()).hexdigest()


def test_the_card_says_what_plain_open_clip_needs_to_read_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "pocket", SHORT)
    monkeypatch.chdir(tmp_path)
    said = json.loads((tmp_path / "card.json").read_text())["tokenizer"]
    own = open_clip.SimpleTokenizer(said["file"], context_length=said["context_length"])
    texts = ["a photo of the flag of japan, teal", "日本 ☃", ""]
    assert torch.equal(own(texts), pocket("pocket").tokenize(texts))


@models
def test_the_compact_file_holds_the_rounded_weights(name: str, tmp_path: Path) -> None:
    trained = pretrain(name, SHORT)
    write_model(tmp_path, trained, SHORT, lambda model: {})
    loaded = pocket(name, folder=tmp_path).network.state_dict()
    for key, value in trained.network.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(loaded[key], value.half().float()), key


def test_storing_a_loaded_model_again_changes_nothing(tmp_path: Path) -> None:
    write_model(tmp_path, pretrain("pocket", SHORT), SHORT, lambda model: {})
    stored, again = load_file(tmp_path / WEIGHTS), compact(pocket("pocket", folder=tmp_path).network)
    assert stored.keys() == again.keys()
    assert all(torch.equal(stored[key], again[key]) for key in stored)


@models
def test_shipped_files_are_those_of_the_card(name: str) -> None:
    card = json.loads((MODELS / name / "card.json").read_text())
    assert card["sha256"] == hashlib.sha256((MODELS / name / WEIGHTS).read_bytes()).hexdigest()
    assert card["recipe"] == json.loads((MODELS / name / "recipe.json").read_text())
    assert card["recipe"] == shipped_recipe(name).written()
    assert card["config"] == json.loads((MODELS / name / "config.json").read_text())
    assert (card["schema"], card["name"]) == ("fomo.model/1", name)


@models
def test_shipped_models_start_where_scores_can_fall_and_rise(name: str) -> None:
    scores = json.loads((MODELS / name / "card.json").read_text())["scores"]["validation"]
    assert 55 <= scores["mean_retention"] <= 75
    assert 30 <= scores["mean_adaptation"] <= 45
    assert all(20 <= score <= 97 for score in scores["datasets"].values())
