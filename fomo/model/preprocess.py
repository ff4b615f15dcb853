"""How an image becomes the input of a model's image tower: the model's own resizing, cropping and normalisation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transform import MaybeToTensor, PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor
from torchvision.transforms import Normalize

from fomo.data.images import MAX_PIXELS
from fomo.errors import FomoError, check_allowed, check_choice, check_keys

CHOICES = {"interpolation": ("bicubic", "bilinear"), "resize_mode": ("shortest", "longest", "squash")}
KEYS = ("interpolation", "resize_mode", "fill_color", "mean", "std")
"""What ``model.preprocess`` may set; the size is ``model.image_size``."""


@dataclass(frozen=True)
class Preprocess:
    """The evaluation transform that belongs to a model's weights, as open_clip defines it.

    Args:
        size: height and width of the network's input, in pixels.
        mean: of each RGB channel, of values in [0, 1].
        std: of each RGB channel, of values in [0, 1].
        interpolation: the filter of the resizing, one of :data:`CHOICES`.
        resize_mode: ``shortest`` crops the longer side, ``longest`` pads the shorter, ``squash`` changes the ratio.
        fill_color: what ``longest`` pads with, 0 to 255.
    """

    size: int
    mean: tuple[float, ...] = OPENAI_DATASET_MEAN
    std: tuple[float, ...] = OPENAI_DATASET_STD
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0

    @cached_property
    def _geometry(self) -> list[Any]:
        """The steps of open_clip's own transform that move pixels."""
        whole = image_transform_v2(PreprocessCfg(**asdict(self)), is_train=False)
        return [step for step in whole.transforms if not isinstance(step, (MaybeToTensor, Normalize))]

    def crop(self, image: Image.Image) -> np.ndarray:
        """The pixels of an RGB image that are evaluated: uint8 [size, size, 3]."""
        image = _central_part(image, self._longest_ratio)
        for step in self._geometry:
            image = step(image)
        return np.asarray(image)

    @property
    def _longest_ratio(self) -> float:
        """Sides in a ratio above it would be resized to more pixels than we decode, or to none at all."""
        limits = {"shortest": MAX_PIXELS // self.size**2, "longest": 2 * self.size - 1}
        return limits.get(self.resize_mode, math.inf)

    def normalize(self, images: Tensor) -> Tensor:
        """The network's input, float32 [b, 3, h, w], of uint8 images [b, 3, h, w]."""
        # Without waiting for the device, as a tensor that is made there would.
        values = torch.tensor((self.mean, self.std)).to(images.device, non_blocking=True)
        mean, std = values.view(2, 3, 1, 1)
        return (images.float() / 255 - mean) / std

    def with_options(self, options: Mapping[str, Any], section: str = "model.preprocess") -> "Preprocess":
        """The transform with some values of :data:`KEYS` set; ``None`` leaves a value as it is.

        Raises:
            FomoError: an unknown key, or a value that is not allowed.
        """
        check_keys(section, options, KEYS)
        given = {key: value for key, value in options.items() if value is not None}
        for key, value in given.items():
            _check(f"{section}.{key}", key, value)
            given[key] = tuple(map(float, value)) if key in ("mean", "std") else value
        return replace(self, **given)


def _central_part(image: Image.Image, ratio: float) -> Image.Image:
    """The whole image, or of one whose sides are in a larger ratio the middle of the longer side."""
    longest = ratio * min(image.size)
    if max(image.size) <= longest:
        return image
    width, height = (min(side, int(longest)) for side in image.size)
    left = (image.width - width) // 2
    upper = (image.height - height) // 2
    return image.crop((left, upper, left + width, upper + height))


def preprocess_of(config: Mapping[str, Any], origin: str) -> Preprocess:
    """The transform that an open_clip preprocessing configuration describes.

    Args:
        config: as ``network.visual.preprocess_cfg``: ``size`` in pixels and values of :data:`KEYS`.
        origin: where it was read, for errors.

    Raises:
        FomoError: a value that open_clip does not know, or images that are not square.
    """
    sides = config["size"] if isinstance(config["size"], Sequence) else (config["size"],)
    if len(set(sides)) > 1:
        raise FomoError(f"{origin}: images of {'×'.join(map(str, sides))} pixels. Only square ones are supported.")
    values = {key: config[key] for key in KEYS if config.get(key) is not None}
    if values.get("interpolation") == "random":
        values["interpolation"] = "bicubic"  # as open_clip evaluates a model that was trained with both
    spread = {key: [values[key]] * 3 for key in ("mean", "std") if isinstance(values.get(key), (int, float))}
    return Preprocess(int(sides[0])).with_options({**values, **spread}, f"{origin}: preprocess")


def _check(name: str, key: str, value: Any) -> None:
    if key in CHOICES:
        check_choice(f"value of {name}", value, CHOICES[key])
    elif key == "fill_color":
        check_allowed(type(value) is int and 0 <= value <= 255, f"{name}={value}", "integers from 0 to 255")
    elif not _is_rgb(value) or (key == "std" and min(value) <= 0):
        kind = "three numbers above 0" if key == "std" else "three numbers"
        raise FomoError(f"{name}={value}: {kind} are expected, one of each channel: [0.5,0.5,0.5].")
    elif not all(0 <= each <= 1 for each in value):
        raise FomoError(f"{name}={value}: it is of colours from 0 to 1. Divide what is of colours up to 255 by 255.")


def _is_rgb(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and all(type(each) in (int, float) for each in value)
