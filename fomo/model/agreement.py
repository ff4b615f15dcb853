"""Refuses weights under a model that computes something else of them, and names the model that is right."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import open_clip
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from fomo.errors import FomoError
from fomo.model.names import LOCAL, open_clip_names
from fomo.model.options import Options
from fomo.model.sources import Origin, Values, sibling
from fomo.model.weight_files import OPENAI_EXTRAS, State
from fomo.system.text import first_line

ACTIVATIONS = {True: "QuickGELU", False: "GELU"}
UNCHANGING = ("timm_model_pretrained", "hf_model_pretrained", "timm_drop", "timm_drop_path", "patch_dropout")
"""Keys of a configuration that only training or the building of a model reads."""

_log = logging.getLogger(__name__)


def check_agreement(name: str, config: Values, origin: Origin, options: Options) -> None:
    """Compare the model ``name`` with what is known of the weights before they are read.

    Raises:
        FomoError: the activation, the pooling, the tokenizer, a size or another property is not that of the weights.
    """
    if options.quick_gelu is None and origin.quick_gelu is not None:
        _check_activation(name, bool(config.get("quick_gelu")), origin.quick_gelu, origin.evidence, origin.tag)
    if origin.model is None:
        return
    differing = _differences(config, origin.model, options)
    if differing:
        folder = origin.path.parent if origin.path else None
        same = [each for each in open_clip_names() if _is_same(each, origin.model)]
        way_out = f"model={same[0]}" if same else f"model={LOCAL}{folder}" if folder else "the model of that place"
        raise FomoError(f"{origin.evidence} is of another model than '{name}': {differing}. Choose {way_out}.")


def _check_activation(name: str, built: bool, trained: bool, evidence: str, tag: str = "") -> None:
    if built == trained:
        return
    other = sibling(name)
    right = f"model={other}" if other in open_clip_names() else ""
    said = f"model.quick_gelu={str(trained).lower()}"
    way_out = f"Choose {right}." if right and tag else f"Choose {right} or, if you know better, " if right else ""
    if not (right and tag):
        way_out += f"{'say' if way_out else 'Say'} which it is: {said}, or {str(built).lower()}."
    raise FomoError(
        f"{evidence} stands for {ACTIVATIONS[trained]}, and the model '{name}' has {ACTIVATIONS[built]}: "
        f"its features would be wrong. {way_out}"
    )


def check_state(name: str, network: CLIP, state: State, origin: Origin, options: Options) -> None:
    """Compare the activation with what the tensors themselves give away; say it where nothing does."""
    if options.quick_gelu is not None:
        return
    built = any(type(module).__name__ == "QuickGELU" for module in network.modules())
    if all(key in state for key in OPENAI_EXTRAS):
        _check_activation(name, built, True, "a state dict as OpenAI's models write it")
    elif origin.quick_gelu is None and sibling(name) in open_clip_names():
        about = f"{origin.path} does not tell its activation: {ACTIVATIONS[built]} is taken, that of '{name}'"
        _log.warning("%s. %s is model=%s.", about, ACTIVATIONS[not built], sibling(name))


def _differences(config: Values, stored: Values, options: Options) -> str:
    """The first three properties in which two model configurations differ, the options of the user aside."""
    here = properties(config)
    there = properties(stored)
    for key, value in (("vision.image_size", options.image_size), ("text.context_length", options.context_length)):
        if value is not None:
            here[key] = there[key] = value
    keys = [key for key in here if here[key] != there[key] and key != "quick_gelu"]  # compared on its own
    return ", ".join(f"{key} is {there[key]} there and {here[key]} here" for key in keys[:3])


def properties(config: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a model computes by, flat, with open_clip's defaults.

    Raises:
        FomoError: the configuration has keys that open_clip does not know.
    """
    try:
        vision = asdict(CLIPVisionCfg(**config["vision_cfg"]))
        text = asdict(CLIPTextCfg(**config["text_cfg"]))
    except TypeError as error:
        raise FomoError(f"a configuration that this open_clip does not know ({first_line(error)}).") from None
    vision["image_size"] = _side(vision["image_size"])
    own = {"embed_dim": config.get("embed_dim"), "quick_gelu": bool(config.get("quick_gelu"))}
    flat = {**own, **_dotted("vision", vision), **_dotted("text", text)}
    return {key: value for key, value in flat.items() if key.partition(".")[2] not in UNCHANGING}


def _dotted(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{part}.{key}": list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _side(size: Any) -> Any:
    return size[0] if isinstance(size, (list, tuple)) and len(set(size)) == 1 else size


def _is_same(name: str, stored: Values) -> bool:
    config = open_clip.get_model_config(name)
    quick = bool(config.get("quick_gelu")) == bool(stored.get("quick_gelu"))
    return quick and "multimodal_cfg" not in config and not _differences(config, stored, Options())
