"""Weights that were made here are the base of a next run, of every kind of model, by ``model.folder``."""

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from fomo.config import factory
from fomo.errors import FomoError
from fomo.model.names import MODELS
from fomo.model.open_clip import pretrained_clip
from fomo.model.shipped import MERGES, pocket
from fomo.model.sources import CONFIG
from fomo.report.weights import export_weights
from fomo.results.card import read_card
from fomo.results.config_file import comparable
from fomo.results.layout import CARD, WEIGHTS
from fomo.results.run import load
from fomo.results.scores_file import read_scores
from fomo.running.contents import base_sha256
from tests import tiny
from tests.fomo.helpers import put
from tests.fomo.model.tiny_clip import models, packaged

__all__ = ["models"]
SHORT = ("num_tasks=1", "budget.steps=2", "stream.adaptation=[pocket_flags]")
SEEN = "{mean:[0.5,0.4,0.3],interpolation:bilinear}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the pocket."""
    return tiny.run(tmp_path_factory.mktemp("stored") / "run", *SHORT)


def shipped_copy(folder: Path, name: str = "pocket", **changes: object) -> Path:
    """A folder as ``fomo pretrain`` writes it."""
    shutil.copytree(MODELS / name, folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    put(folder / "config.json", json.dumps(config))
    return folder


def test_a_run_starts_where_the_run_before_it_ended(run: Path, tmp_path: Path) -> None:
    again = tiny.run(tmp_path / "again", *SHORT, f"model.folder={run}", "method=frozen")
    assert read_scores(again).evaluations[0].scores == read_scores(run).evaluations[-1].scores
    cards = [read_card(each).base_sha256 for each in (run, again)]
    assert cards == [base_sha256(pocket("pocket")), base_sha256(pocket("pocket", folder=run))] and len(set(cards)) == 2


@pytest.mark.parametrize("overrides", [("model=pocket",), ("model=Tiny", "model.pretrained=squashed")])
def test_the_weights_of_a_run_are_the_base_of_every_model(
    overrides: tuple[str, ...], models: Path, tmp_path: Path
) -> None:
    first = tiny.run(tmp_path / "run", *SHORT, *overrides, "method=lnfit")
    config = tiny.resolved(overrides[0], f"model.folder={first}").config
    made = factory.model(config)
    stored = load_file(first / WEIGHTS)
    assert all(torch.equal(value, stored[name]) for name, value in made.network.state_dict().items())
    assert made.preprocess == factory.model(tiny.resolved(*overrides).config).preprocess
    assert factory.model_shapes(config).preprocess == made.preprocess


def test_what_the_user_said_of_a_model_belongs_to_the_weights_of_its_run(models: Path, tmp_path: Path) -> None:
    options = ("model=Tiny", "model.pretrained=plain", "model.image_size=96", f"model.preprocess={SEEN}")
    first = tiny.run(tmp_path / "run", *SHORT, *options, "method=frozen")
    with pytest.raises(FomoError, match=r"vision.image_size is 96 there and 64 here. Choose model=Tiny-96"):
        pretrained_clip("Tiny", folder=str(first))
    made = pretrained_clip("Tiny", image_size=96, folder=str(first))
    assert made.preprocess == factory.model(tiny.resolved(*options).config).preprocess


def test_a_pretrained_folder_is_a_base_and_sees_as_it_says(tmp_path: Path) -> None:
    folder = shipped_copy(tmp_path / "p", mean=[0.1, 0.2, 0.3])
    made = factory.model(tiny.resolved(f"model.folder={folder}").config)
    assert made.preprocess.mean == (0.1, 0.2, 0.3)
    assert all(map(torch.equal, made.network.state_dict().values(), pocket("pocket").network.state_dict().values()))


def damaged(folder: Path, change: object) -> Path:
    """A folder as ``fomo pretrain`` writes it, with another projection of images."""
    shipped_copy(folder)
    weights = load_file(folder / "model.safetensors")
    weights["visual.proj"] = change(weights["visual.proj"])  # type: ignore[operator]
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda value: value * float("nan"), r"visual.proj holds values that are not finite"),
        (lambda value: value.to(torch.int8), r"visual.proj holds torch.int8"),
        (lambda value: value[:3].contiguous(), r"1 of another shape\): visual.proj \[3, 128\] for \[128, 128\]"),
    ],
)
def test_a_pretrained_folder_is_read_as_carefully_as_other_weights(tmp_path: Path, change: object, text: str) -> None:
    folder = damaged(tmp_path / "p", change)
    with pytest.raises(FomoError, match=f"{folder}/model.safetensors: .*{text}"):
        pocket("pocket", folder=folder)


def test_a_pretrained_folder_says_how_images_are_normalised(tmp_path: Path) -> None:
    config = shipped_copy(tmp_path / "p", std=[0, 1, 1]) / "config.json"
    with pytest.raises(FomoError, match=r"preprocess\.std=.*three numbers above 0"):
        pocket("pocket", folder=config.parent)
    config.write_text(json.dumps({key: value for key, value in json.loads(config.read_text()).items() if key != "std"}))
    with pytest.raises(FomoError, match="does not say by which std images are normalised"):
        pocket("pocket", folder=config.parent)


def test_what_no_tensor_shows_comes_with_a_run_or_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    file = folder / "checkpoint" / CONFIG
    form = json.loads(file.read_text())
    put(file, json.dumps(form | {"preprocess_cfg": form["preprocess_cfg"] | {"interpolation": "bilinear"}}))
    assert pocket("pocket", folder=folder).preprocess.interpolation == "bilinear"
    put(file, json.dumps(form | {"model_cfg": form["model_cfg"] | {"quick_gelu": True}}))
    with pytest.raises(FomoError, match="quick_gelu is True there and None here"):
        pocket("pocket", folder=folder)


def test_a_folder_of_open_clips_form_is_a_base(models: Path, tmp_path: Path) -> None:
    folder = packaged(tmp_path / "mine")
    made = pretrained_clip("Tiny", folder=str(folder))
    assert base_sha256(made) == base_sha256(pretrained_clip("Tiny", f"local-dir:{folder}"))


def test_another_architecture_is_refused_with_the_difference(run: Path, models: Path, tmp_path: Path) -> None:
    resnet = shipped_copy(tmp_path / "resnet", "pocket_resnet")
    for folder in (run, shipped_copy(tmp_path / "p")):
        with pytest.raises(FomoError, match=r"another architecture than 'pocket_resnet': vision_cfg.layers is 4 there"):
            pocket("pocket_resnet", folder=folder)
    for shapes_only in (False, True):
        with pytest.raises(FomoError, match=r"another architecture than 'pocket'.*Choose its model=NAME"):
            pocket("pocket", folder=resnet, shapes_only=shapes_only)
    with pytest.raises(FomoError, match="is of another model than 'Tiny'"):
        pretrained_clip("Tiny", folder=str(run))


def test_tensors_that_do_not_fit_are_refused_though_nothing_is_said_of_them(run: Path, tmp_path: Path) -> None:
    old = shutil.copytree(run, tmp_path / "old")
    (old / WEIGHTS).with_name(CONFIG).unlink()
    assert base_sha256(pocket("pocket", folder=old)) == base_sha256(pocket("pocket", folder=run))
    with pytest.raises(FomoError, match="keys do not fit 'pocket_resnet'"):
        pocket("pocket_resnet", folder=old)


def test_a_run_of_a_pocket_model_is_read_by_open_clip_with_its_own_merges(run: Path) -> None:
    folder = (run / WEIGHTS).parent
    made = pretrained_clip(f"local-dir:{folder}", f"local-dir:{folder}")
    ours = pocket("pocket", folder=run)
    assert base_sha256(made) == base_sha256(ours)
    plain = open_clip.get_tokenizer(f"local-dir:{folder}", bpe_path=str(folder / MERGES.name))
    assert torch.equal(plain(["a photo of the flag of estonia"]), ours.tokenize(["a photo of the flag of estonia"]))


def test_merges_that_are_not_beside_the_configuration_are_asked_for(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree((run / WEIGHTS).parent, tmp_path / "moved")
    (folder / MERGES.name).unlink()
    with pytest.raises(FomoError, match=r"names the merges 'merges.txt.gz'.*not beside it"):
        pretrained_clip(f"local-dir:{folder}", f"local-dir:{folder}")


@pytest.mark.parametrize(
    "build", [lambda folder: pocket("pocket", folder=folder), lambda f: pretrained_clip("Tiny", folder=f)]
)
def test_a_folder_without_weights_says_what_is_expected(build: object, run: Path, models: Path, tmp_path: Path) -> None:
    unfinished = shutil.copytree(run, tmp_path / "unfinished")
    (unfinished / CARD).unlink()
    (tmp_path / "empty").mkdir()
    for name, text in (("gone", "no such folder"), ("unfinished", "not finished"), ("empty", "config.json")):
        with pytest.raises(FomoError, match=text):
            build(str(tmp_path / name))  # type: ignore[operator]


def test_a_base_that_was_never_pretrained_says_so_in_the_next_run_too(models: Path, tmp_path: Path) -> None:
    first = tiny.run(tmp_path / "run", *SHORT, "model=Tiny", "model.pretrained=null")
    export_weights(load(first), first / "open_clip")
    assert pretrained_clip("Tiny", folder=str(first)).caveats == ("random base",)
    for place in (first / WEIGHTS, f"local-dir:{first / 'open_clip'}"):
        assert pretrained_clip("Tiny", str(place)).caveats == ("random base",)
    shutil.copy(first / WEIGHTS, tmp_path / "w.safetensors")
    assert pretrained_clip("Tiny", str(tmp_path / "w.safetensors")).caveats == ()


def test_weights_are_said_once(run: Path, models: Path) -> None:
    with pytest.raises(FomoError, match="both say which weights"):
        pretrained_clip("Tiny", "plain", folder=str(run))


def test_the_key_makes_no_other_experiment_of_what_was_stored_without_it() -> None:
    values = dict(tiny.resolved().values)
    model = {key: value for key, value in values["model"].items() if key != "folder"}
    assert "folder" in values["model"] and comparable(values) == comparable({**values, "model": model})
    assert comparable(values) != comparable({**values, "model": {**model, "folder": "p"}})
