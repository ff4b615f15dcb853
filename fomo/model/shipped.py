"""The pocket bases that ship with the package, or models of their architecture with other weights in a folder."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIP
from torch import Tensor

from fomo.errors import FomoError, unknown
from fomo.model.clip import RANDOM_BASE, ClipModel, tokens_of
from fomo.model.fit import load_fitting
from fomo.model.names import MODELS, pocket_names
from fomo.model.preprocess import KEYS, preprocess_of
from fomo.model.sources import CONFIG as OPEN_CLIP_CONFIG
from fomo.model.sources import read_config as read_form
from fomo.model.stored import EXPECTED, Stored, check_same, stored_in
from fomo.model.weight_files import read_weights
from fomo.model.widths import widened, width_of
from fomo.results.layout import WEIGHTS
from fomo.system.reading import read_json

COMPACT = "model.safetensors"
MERGES = MODELS / "merges.txt.gz"
"""The first 510 byte pairs that CLIP merges: with the bytes and two ends of texts 1,024 tokens."""


def read_config(name: str) -> dict[str, Any]:
    """The open_clip configuration of a shipped base model, with ``mean`` and ``std``.

    Raises:
        FomoError: no shipped model has the name.
    """
    if name not in pocket_names():
        raise unknown("pocket model", name, pocket_names())
    return read_json(MODELS / name / "config.json")


def pocket(
    name: str,
    initial: bool = False,
    folder: str | Path | None = None,
    shapes_only: bool = False,
    width: float = 1,
) -> ClipModel:
    """A shipped base model, or one of its architecture with other weights, at its width or another one.

    Args:
        name: of a shipped model.
        initial: whether it is untrained, as pretraining starts from it.
        folder: holds other weights: of a finished run, or as ``fomo pretrain`` writes them.
        shapes_only: whether its tensors are on the meta device, where they have no content.
        width: what its numbers of channels and heads are multiplied by; no weights ship but those of 1.

    Raises:
        FomoError: there is no such model, or the weights in the folder are not of its architecture.
    """
    config = widened(name, read_config(name), width)
    if width != 1 and folder is None and not (initial or shapes_only):
        raise FomoError(
            f"model.width={width}: weights of '{name}' ship at width 1 alone. Make them: fomo pretrain model={name} "
            f"width={width} out=DIR, and say model.folder=DIR."
        )
    stored = Stored(MODELS / name) if folder is None else stored_in(folder)
    if folder is not None:
        config = _form_in(folder, stored, name, config)
    if shapes_only:
        return _wrap(name, _architecture(config, "meta"), config)
    network = _untrained(config)
    if initial:
        return _wrap(name, network, config, (RANDOM_BASE,))
    path = stored.path / (WEIGHTS.name if stored.of_run else COMPACT)
    try:
        load_fitting(network, read_weights(path), name, False, False)
    except FomoError as error:
        raise FomoError(f"{path}: {error}") from None
    return _wrap(name, network, config, stored.caveats)


def _form_in(folder: str | Path, stored: Stored, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of stored weights: the architecture is that of ``name``, how images are seen is their own."""
    file = stored.path / (OPEN_CLIP_CONFIG if stored.of_run else "config.json")
    if not file.is_file():
        if stored.of_run:  # of a version that stored none
            return config
        raise FomoError(f"model.folder={folder}: it holds no config.json; {EXPECTED}.")
    model, preprocess = read_form(stored.path) if stored.of_run else (read_json(file),) * 2
    width = width_of(name, read_config(name), model)
    if width is not None and model["embed_dim"] != config["embed_dim"]:
        raise FomoError(f"model.folder={folder}: its '{name}' is {width:g} times as wide. Say model.width={width:g}.")
    check_same(folder, name, config, model)
    unsaid = [key for key in ("mean", "std") if key not in preprocess]
    if unsaid:
        raise FomoError(f"{file}: it does not say by which {' and '.join(unsaid)} images are normalised.")
    return {**config, **{key: preprocess[key] for key in KEYS if key in preprocess}}


def _untrained(config: Mapping[str, Any]) -> CLIP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _architecture(config, "cpu")


def _architecture(config: Mapping[str, Any], device: str) -> CLIP:
    with torch.device(device):
        return CLIP(config["embed_dim"], dict(config["vision_cfg"]), dict(config["text_cfg"]))


@cache
def _tokenizer(context_length: int) -> open_clip.SimpleTokenizer:
    """CLIP's tokenizer with the first of its merges: what is merged later stays in pieces."""
    return open_clip.SimpleTokenizer(str(MERGES), context_length=context_length)


def _wrap(name: str, network: CLIP, config: Mapping[str, Any], caveats: tuple[str, ...] = ()) -> ClipModel:
    tokenizer = _tokenizer(network.context_length)
    preprocess = preprocess_of({**config, "size": config["vision_cfg"]["image_size"]}, name)
    architecture = {key: config[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}
    return ClipModel(name, network, partial(tokens_of, tokenizer), preprocess, caveats, architecture, MERGES)


def compact(network: CLIP) -> dict[str, Tensor]:
    """The weights to ship, in fp16."""
    return {k: v.half().contiguous() for k, v in network.state_dict().items() if v.is_floating_point()}
