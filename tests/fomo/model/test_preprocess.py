"""Images as the weights want them: bit for bit what open_clip's own transform makes of them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image

from fomo.errors import FomoError
from fomo.model.open_clip import _preprocess
from fomo.model.preprocess import Preprocess, preprocess_of
from fomo.model.sources import origin_of
from tests.fomo.helpers import picture

SIZES = [(300, 200), (200, 301), (97, 500), (40, 33), (64, 64), (63, 65), (1, 1), (1, 50), (50, 1), (31, 7)]
MODES = ("shortest", "longest", "squash")
OTHER = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), "fill_color": 127}


def oracle(preprocess: Preprocess, image: Any) -> torch.Tensor:
    values = {key: getattr(preprocess, key) for key in ("mean", "std", "interpolation", "resize_mode", "fill_color")}
    return image_transform_v2(PreprocessCfg(size=preprocess.size, **values), is_train=False)(image)


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("resize_mode", MODES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_evaluation_sees_what_open_clip_would_show_the_model(side: int, resize_mode: str, interpolation: str) -> None:
    for values in ({}, OTHER):
        preprocess = Preprocess(side, interpolation=interpolation, resize_mode=resize_mode, **values)  # type: ignore[arg-type]
        for number, size in enumerate(SIZES):
            image = picture(number, size)
            pixels = torch.from_numpy(preprocess.crop(image).copy()).permute(2, 0, 1)
            assert torch.equal(preprocess.normalize(pixels[None])[0], oracle(preprocess, image)), size


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = picture(7, (32, 32))
    for mode in MODES:
        assert np.array_equal(Preprocess(32, resize_mode=mode).crop(image), np.asarray(image))


def test_a_configuration_of_open_clip_is_read_with_its_own_values() -> None:
    config = {"size": (48, 48), "mode": "RGB", "mean": 0.5, "std": [0.5, 0.25, 0.125], "interpolation": "random"}
    found = preprocess_of(config | {"resize_mode": "squash", "fill_color": 3}, "here")
    assert found == Preprocess(48, (0.5,) * 3, (0.5, 0.25, 0.125), "bicubic", "squash", 3)


@pytest.mark.parametrize("resize_mode", MODES)
@pytest.mark.parametrize("size", [(1, 500), (700_000, 3), (2, 5_000_000)])
def test_images_of_any_shape_are_evaluated_in_little_memory(resize_mode: str, size: tuple[int, int]) -> None:
    assert Preprocess(64, resize_mode=resize_mode).crop(Image.new("RGB", size, "red")).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"resize_mod": "squash"}, ["resize_mod", "Did you mean 'resize_mode'"]),
        ({"resize_mode": "squish"}, ["model.preprocess.resize_mode", "Did you mean 'squash'"]),
        ({"interpolation": "nearest"}, ["model.preprocess.interpolation", "bicubic, bilinear"]),
        ({"fill_color": 256}, ["fill_color=256", "0 to 255"]),
        ({"mean": [0.5, 0.5]}, ["mean", "three numbers"]),
        ({"std": [0.5, 0.5, 0]}, ["std", "above 0"]),
        ({"mean": [123.7, 116.3, 103.5]}, ["model.preprocess.mean=[123.7, 116.3, 103.5]", "by 255"]),
        ({"std": [58.4, 57.1, 57.4]}, ["model.preprocess.std", "by 255"]),
        ({"mean": [0.5, 0.5, float("nan")]}, ["model.preprocess.mean", "0 to 1"]),
    ],
)
def test_values_that_are_not_allowed_are_named(options: dict[str, Any], texts: list[str]) -> None:
    with pytest.raises(FomoError) as error:
        Preprocess(32).with_options(options)
    assert all(text in str(error.value) for text in texts)


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(FomoError, match="224×336"):
        preprocess_of({"size": (224, 336)}, "here")


def test_every_published_tag_is_seen_as_open_clip_shows_it() -> None:
    images = [picture(1, (97, 310)), picture(2, (301, 197))]
    compared: dict[str, int] = {}
    for name, tag in open_clip.list_pretrained():
        config = open_clip.get_model_config(name)
        if "multimodal_cfg" in config or "init_logit_bias" in config:
            continue  # refused: other losses
        side = config["vision_cfg"].get("image_size", 224)
        ours = _preprocess(name, network_of(side), origin_of(name, tag))
        declared = merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(name, tag)) | {"size": side}
        key = f"{ours} {declared}"
        if key not in compared:
            theirs = image_transform_v2(PreprocessCfg(**declared), is_train=False)
            for image in images:
                pixels = torch.from_numpy(ours.crop(image).copy()).permute(2, 0, 1)
                assert torch.equal(ours.normalize(pixels[None])[0], theirs(image)), (name, tag)
        compared[key] = compared.get(key, 0) + 1
    assert sum(compared.values()) > 100 and len(compared) > 10


def network_of(side: int) -> Any:
    """As much of a network as says which images it takes."""
    return SimpleNamespace(visual=SimpleNamespace(image_size=side, preprocess_cfg={}))
