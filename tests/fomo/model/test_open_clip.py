"""Models of open_clip: every property that lives beside the weights is theirs, or the user's word, or an error."""

import json
import logging
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2

from fomo.config.compose import compose
from fomo.config.factory import build
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.model.clip import ClipModel
from fomo.model.names import UNSAID
from fomo.model.open_clip import pretrained_clip
from fomo.model.preprocess import Preprocess
from fomo.model.sources import disputed
from tests import tiny
from tests.fomo.helpers import picture
from tests.fomo.model.tiny_clip import CONFIG, MODELS, PLAIN, SQUASHED, TEXT, VISION, models, packaged, saved, state

__all__ = ["models"]


def from_command_line(*overrides: str) -> ClipModel:
    config = resolve(compose([*tiny.TINY, *overrides])).config
    model: ClipModel = build("model", config.model)
    return model


def refused(*given: Any, **options: Any) -> str:
    with pytest.raises(FomoError) as error:
        pretrained_clip(*given, **options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700
    return str(error.value)


def assert_sees_as_open_clip(model: ClipModel) -> None:
    transform = image_transform_v2(PreprocessCfg(**model.network.visual.preprocess_cfg), is_train=False)
    for number, size in enumerate([(90, 61), (33, 80), (64, 64), (5, 7)]):
        image = picture(number, size)
        pixels = torch.from_numpy(model.preprocess.crop(image).copy()).permute(2, 0, 1)
        assert torch.equal(model.normalize(pixels[None])[0], transform(image))


@pytest.mark.parametrize(("tag", "expected"), [("plain", PLAIN), ("squashed", SQUASHED)])
def test_a_tag_brings_its_own_preprocessing(models: Path, tag: str, expected: dict[str, Any]) -> None:
    model = from_command_line("model=Tiny", f"model.pretrained={tag}")
    assert model.preprocess == Preprocess(64, **expected) and model.caveats == ()
    assert_sees_as_open_clip(model)


def test_the_weights_of_a_tag_are_those_that_open_clip_loads(models: Path) -> None:
    ours, theirs = pretrained_clip("Tiny", "plain").network, open_clip.create_model("Tiny", "plain")
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())


def test_options_say_what_a_file_cannot(models: Path, tmp_path: Path) -> None:
    file = saved(tmp_path / "w.pt")
    said = [
        f"model.preprocess.{key}={list(value) if isinstance(value, tuple) else value}"
        for key, value in SQUASHED.items()
    ]
    model = from_command_line("model=Tiny", f"model.pretrained={file}", *said, "model.preprocess.fill_color=9")
    assert model.preprocess == Preprocess(64, **SQUASHED, fill_color=9)  # type: ignore[arg-type]


def test_a_file_is_seen_as_all_published_weights_of_its_model(models: Path, tmp_path: Path) -> None:
    wide = pretrained_clip("Tiny-wide", str(saved(tmp_path / "w.pt", "Tiny-wide")))
    assert wide.preprocess == Preprocess(64, **SQUASHED)  # type: ignore[arg-type]
    assert pretrained_clip("Tiny", str(saved(tmp_path / "v.pt"))).preprocess == Preprocess(64)


def test_a_file_beside_its_configuration_is_seen_as_that_says(models: Path, tmp_path: Path) -> None:
    folder = packaged(tmp_path / "mine", CONFIG, SQUASHED)
    for given in (str(folder / "open_clip_pytorch_model.bin"), f"local-dir:{folder}"):
        assert pretrained_clip("Tiny", given).preprocess == Preprocess(64, **SQUASHED)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", [name for name in open_clip.list_models() if open_clip.list_pretrained_tags_by_model(name)]
)
def test_no_tag_is_loaded_under_another_activation(name: str) -> None:
    config = open_clip.get_model_config(name)
    if "multimodal_cfg" in config or "init_logit_bias" in config or "hf_tokenizer_name" in config["text_cfg"]:
        return
    for tag in open_clip.list_pretrained_tags_by_model(name):
        trained = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False)
        if trained != config.get("quick_gelu", False):
            assert f"model={name}-quickgelu" in refused(name, tag)


def test_an_activation_that_a_record_contradicts_has_to_be_said(models: Path) -> None:
    text = refused("Tiny-lone", "plain")
    assert "model.quick_gelu=false" in text and "QuickGELU" in text
    for quick, kind in ((True, "QuickGELU"), (False, "GELU")):
        network = pretrained_clip("Tiny-lone", "plain", quick_gelu=quick).network
        assert {kind} == {type(m).__name__ for m in network.modules() if "GELU" in type(m).__name__}
    assert "model=Tiny-quickgelu" in refused("Tiny", "quick")
    assert pretrained_clip("Tiny-quickgelu", "quick").name == "Tiny-quickgelu"


def test_a_file_that_tells_its_activation_is_refused_under_another(models: Path, tmp_path: Path) -> None:
    named = saved(tmp_path / "vit-Quick_GELU-e3.pt")
    openai = tmp_path / "openai.pt"
    torch.save(state() | {key: torch.tensor(7) for key in ("input_resolution", "context_length", "vocab_size")}, openai)
    beside = packaged(tmp_path / "quick", MODELS["Tiny-quickgelu"]) / "open_clip_pytorch_model.bin"
    hub = tmp_path / "models--timm--resnet50_clip.openai" / "snapshots" / "1"
    hub.mkdir(parents=True)
    for file in (named, openai, beside, saved(hub / "open_clip_model.safetensors.pt")):
        text = refused("Tiny", str(file))
        assert "model=Tiny-quickgelu" in text and "QuickGELU" in text, file
        assert pretrained_clip("Tiny-quickgelu", str(file)).network is not None


def test_a_file_that_does_not_tell_its_activation_is_mentioned(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = str(saved(tmp_path / "w.pt"))
    with caplog.at_level(logging.WARNING):
        pretrained_clip("Tiny", file, quick_gelu=False, preprocess=SQUASHED)
        pretrained_clip("Tiny-wide", str(saved(tmp_path / "wide.pt", "Tiny-wide")))
        assert not caplog.messages
        pretrained_clip("Tiny", file)
    assert "GELU is taken" in caplog.text and "model=Tiny-quickgelu" in caplog.text


def test_a_file_that_does_not_tell_how_it_sees_images_is_mentioned_where_its_kind_differs(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = str(saved(tmp_path / "w.pt"))
    with caplog.at_level(logging.WARNING):
        pretrained_clip("Tiny", file, quick_gelu=False, shapes_only=True)
        pretrained_clip("Tiny", "plain")
        assert not caplog.messages
        pretrained_clip("Tiny", file, quick_gelu=False, preprocess={**SQUASHED, "std": None})
    assert "Taken is model.preprocess.std=[0.26862954,0.26130258,0.27577711]." in caplog.text
    assert "mean" not in caplog.text and disputed("ViT-L-14") == ["mean", "std"]


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(models: Path, tmp_path: Path) -> None:
    config = CONFIG | {"text_cfg": TEXT | {"vocab_size": 1024}}
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    assert "49,408 tokens and its text tower knows 1,024" in refused(f"local-dir:{folder}", None)


def test_a_folder_in_place_of_a_file_is_said_so(models: Path, tmp_path: Path) -> None:
    assert f"is a folder: give one of its files, or local-dir:{tmp_path}" in refused("Tiny", str(tmp_path))


def test_weights_for_another_image_size_are_not_resized_unasked(models: Path, tmp_path: Path) -> None:
    file = str(saved(tmp_path / "w.pt", "Tiny-96"))
    text = refused("Tiny", file)
    assert all(part in text for part in ("96 pixels", "takes 64", "model.image_size=96", "model=Tiny-96"))
    taken = from_command_line("model=Tiny", f"model.pretrained={file}", "model.image_size=96")
    assert taken.image_size == 96 and taken.network.visual.image_size == (96, 96)
    assert taken.network.visual.positional_embedding.shape[0] == 10
    assert pretrained_clip("Tiny", file, image_size=64).network.visual.positional_embedding.shape[0] == 5
    assert_sees_as_open_clip(taken)


def test_weights_for_another_context_are_not_cut_unasked(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    network = open_clip.create_model("Tiny", force_context_length=24)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    assert "24 tokens" in refused("Tiny", str(tmp_path / "w.pt"))
    model = pretrained_clip("Tiny", str(tmp_path / "w.pt"), context_length=24)
    assert model.tokenize(["a"]).shape == (1, 24) and model.network.context_length == 24
    packaged(folder, CONFIG)
    assert pretrained_clip(f"local-dir:{folder}", f"local-dir:{folder}", context_length=8).tokenize(["a"]).shape == (
        1,
        8,
    )


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("vision_cfg", {"pool_type": "avg"}),
        ("text_cfg", {"pool_type": "last"}),
        ("text_cfg", {"no_causal_mask": True}),
        ("text_cfg", {"hf_tokenizer_name": "bert-base-uncased"}),
        ("text_cfg", {"tokenizer_kwargs": {"clean": "canonicalize"}}),
        ("vision_cfg", {"head_width": 32}),
    ],
)
def test_a_property_that_no_tensor_shows_is_compared_with_the_stored_one(
    models: Path, tmp_path: Path, part: str, change: dict[str, Any]
) -> None:
    own = {"vision_cfg": VISION, "text_cfg": TEXT}[part]
    folder = packaged(tmp_path / "other")
    file = folder / "open_clip_config.json"
    file.write_text(json.dumps({"model_cfg": CONFIG | {part: own | change}}))
    text = refused("Tiny", str(folder / "open_clip_pytorch_model.bin"))
    assert next(iter(change)) in text and f"local-dir:{folder}" in text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"image_size": 0}, "model.image_size=0"),
        ({"image_size": "64"}, "integers above 0"),
        ({"image_size": 80}, "multiples of 32"),
        ({"context_length": 1.5}, "model.context_length=1.5"),
        ({"quick_gelu": "yes"}, "true and false"),
        ({"preprocess": {"resize_mode": "crop"}}, "model.preprocess.resize_mode"),
    ],
)
def test_options_that_make_no_sense_are_named(models: Path, options: dict[str, Any], text: str) -> None:
    assert text in refused("Tiny", None, **options)


def test_a_run_asks_for_the_weights_and_a_count_does_not(models: Path) -> None:
    config = resolve(compose([*tiny.TINY, "model=Tiny"])).config
    assert config.model["pretrained"] == UNSAID
    with pytest.raises(FomoError) as error:
        tiny.prepared("model=Tiny")
    assert all(part in str(error.value) for part in ("model.pretrained", "plain", "FILE", "null"))
    assert build("model", config.model, shapes_only=True).name == "Tiny"


def test_random_weights_on_purpose_are_marked(models: Path, tmp_path: Path) -> None:
    prepared = tiny.prepared("model=Tiny", "model.pretrained=null")
    assert prepared.caveats == ("not budgeted", "random base")
    assert tiny.prepared("model=Tiny", "model.pretrained=plain").caveats == ("not budgeted",)
    assert tiny.prepared("+model.initial=true").caveats == ("not budgeted", "random base")


def test_a_model_is_named_by_its_folder(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = packaged(tmp_path / "my models" / "a.b", CONFIG, SQUASHED)
    weights = torch.load(folder / "open_clip_pytorch_model.bin")
    for override in (
        f"model='local-dir:{folder}'",
        "model='local-dir:~/my models/a.b'",
        "model=local-dir:~/my models/a.b",
    ):
        model = from_command_line(override)
        assert model.preprocess == Preprocess(64, **SQUASHED)  # type: ignore[arg-type]
        assert torch.equal(model.network.state_dict()["visual.proj"], weights["visual.proj"])
        assert model.caveats == ()
    assert from_command_line(f"model='local-dir:{folder}'", "model.pretrained=null").caveats == ("random base",)


def test_a_folder_without_a_model_is_refused(models: Path, tmp_path: Path) -> None:
    assert "open_clip_config.json" in refused(f"local-dir:{tmp_path}", None)
    folder = packaged(tmp_path / "bare")
    (folder / "open_clip_pytorch_model.bin").unlink()
    assert "no weights" in refused(f"local-dir:{folder}", f"local-dir:{folder}")
    saved(folder / "a.pt"), saved(folder / "b.pt")
    assert "several weights" in refused(f"local-dir:{folder}", f"local-dir:{folder}")


def test_a_model_of_the_hub_needs_a_network(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> str:
        raise FileNotFoundError("Failed to download file.\nMany\nlines of a client")

    monkeypatch.setattr("fomo.model.sources.download_pretrained_from_hf", fail)
    text = refused("hf-hub:laion/some", "hf-hub:laion/some")
    assert "cannot be downloaded" in text and "model.pretrained=FILE" in text
    monkeypatch.setattr("fomo.model.sources.download_pretrained", fail)
    assert "the weights 'plain' of 'Tiny' cannot be downloaded" in refused("Tiny", "plain")


def test_a_model_of_the_hub_is_read_from_its_cache(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = packaged(tmp_path / "snapshot", CONFIG, SQUASHED)

    def cached(repository: str, filename: str | None = None, **options: Any) -> str:
        assert repository == "laion/some"
        return str(folder / (filename or "open_clip_pytorch_model.bin"))

    monkeypatch.setattr("fomo.model.sources.download_pretrained_from_hf", cached)
    monkeypatch.setattr(
        "open_clip.factory.download_pretrained_from_hf", lambda name, **options: cached(name, options.get("filename"))
    )
    model = from_command_line("model=hf-hub:laion/some")
    assert model.preprocess == Preprocess(64, **SQUASHED)  # type: ignore[arg-type]
