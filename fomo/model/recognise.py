"""Says what a file of weights looks like, for errors: its names and shapes tell the architecture, not the training."""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

import open_clip
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from fomo.model.names import open_clip_names

TRAITS = (
    (("text_model.", "vision_model."), "a CLIP model of Hugging Face transformers"),
    (("base_model.", "lora_A"), "adapters, not a whole model"),
    (("image_encoder.", "text_encoder."), "a MobileCLIP model in Apple's own layout"),
)
"""Parts of names that together are typical, and of what."""
LONE = (
    ("visual.", "the image tower of a CLIP model alone"),
    ("transformer.resblocks.", "a tower of a CLIP model alone"),
    ("blocks.", "an image model of timm"),
    ("layer1.", "an image model of torchvision"),
    ("encoder.layer", "a transformer of Hugging Face"),
)
"""A part of a name where no text tower is, and what it is typical of."""


def looks_like(state: Mapping[str, Tensor]) -> str:
    """A phrase for what the tensors are, with the open_clip models of that shape where there are some."""
    names = "\n".join(state)
    for parts, what in TRAITS:
        if all(part in names for part in parts):
            return what
    if _traits(state) is not None:
        same = models_like(state)
        return f"a CLIP model of the shape of {', '.join(same[:3])}" if same else "a CLIP model of another shape"
    return next((what for part, what in LONE if part in names), "no model that is known here")


def models_like(state: Mapping[str, Tensor]) -> list[str]:
    """The open_clip models with the towers that the tensors have; those of timm and Hugging Face are not told apart."""
    traits = _traits(state)
    return [name for name in open_clip_names() if traits is not None and _declared(name) == traits]


def image_size_of(state: Mapping[str, Tensor]) -> int | None:
    """The side of the square images, in pixels, that the positional embedding of the image tower was trained on."""
    return (_vision(state) or {}).get("image_size")


def context_length_of(state: Mapping[str, Tensor]) -> int | None:
    """The number of positions of the text tower; ``None`` if it is none of open_clip's own."""
    return (_text(state) or {}).get("context_length")


def _traits(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    vision = _vision(state)
    text = _text(state)
    projection = state.get("text_projection", state.get("text.text_projection"))
    if vision is None or text is None or projection is None:
        return None
    return {"vision": vision, "text": text, "embed_dim": projection.shape[-1]}


def _vision(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Width, layers, patch size and image size of an image tower of open_clip's own kinds."""
    position = state.get("visual.positional_embedding", state.get("visual.attnpool.positional_embedding"))
    first = state.get("visual.conv1.weight")
    if position is None or first is None or position.ndim != 2 or first.ndim != 4:
        return None
    grid = math.isqrt(max(0, position.shape[0] - 1))
    if "visual.class_embedding" in state:
        layers: Any = _count(state, r"visual\.transformer\.resblocks\.(\d+)\.")
        width = first.shape[0]
        patch = first.shape[-1]
    else:
        layers = [_count(state, rf"visual\.layer{stage}\.(\d+)\.") for stage in range(1, 5)]
        width = 2 * first.shape[0]
        patch = 32
    return {"width": width, "layers": layers, "patch": patch, "image_size": grid * patch}


def _text(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    dot = "text." if "text.token_embedding.weight" in state else ""
    tokens, position = (state.get(dot + name) for name in ("token_embedding.weight", "positional_embedding"))
    if tokens is None or position is None or tokens.ndim != 2 or position.ndim != 2:
        return None
    return {
        "width": tokens.shape[1],
        "layers": _count(state, rf"{re.escape(dot)}transformer\.resblocks\.(\d+)\."),
        "vocabulary": tokens.shape[0],
        "context_length": position.shape[0],
    }


def _count(names: Collection[str], pattern: str) -> int:
    return len({found.group(1) for name in names if (found := re.match(pattern, name))})


def _declared(name: str) -> dict[str, Any] | None:
    """What :func:`_traits` would find in the weights of an open_clip model."""
    config = open_clip.get_model_config(name)
    vision = CLIPVisionCfg(**config["vision_cfg"])
    text = CLIPTextCfg(**config["text_cfg"])
    if vision.timm_model_name or text.hf_model_name or "multimodal_cfg" in config:
        return None
    return {
        "vision": {
            "width": vision.width,
            "layers": vision.layers,
            "patch": vision.patch_size or 32,
            "image_size": vision.image_size,
        },
        "text": {
            "width": text.width,
            "layers": text.layers,
            "vocabulary": text.vocab_size,
            "context_length": text.context_length,
        },
        "embed_dim": config["embed_dim"],
    }
