"""The pocket bases that ship with the package, or others like them in a folder."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file
from torch import Tensor

from fomo import rng
from fomo.errors import FomoError, unknown
from fomo.model.clip import RANDOM_BASE, ClipModel, tokens_of
from fomo.model.names import MODELS, pocket_names
from fomo.model.preprocess import Preprocess
from fomo.system.reading import read_json

EMBEDDING = "token_embedding.weight"


def read_config(name: str, folder: str | Path | None = None) -> dict[str, Any]:
    """The open_clip configuration of a shipped base model, with ``mean`` and ``std``; or the one in ``folder``.

    Raises:
        FomoError: no shipped model has the name, or the folder holds no configuration.
    """
    if folder is None and name not in pocket_names():
        raise unknown("pocket model", name, pocket_names())
    return read_json(_place(name, folder) / "config.json")


def _place(name: str, folder: str | Path | None) -> Path:
    return MODELS / name if folder is None else Path(folder).expanduser()


def pocket(name: str, initial: bool = False, folder: str | Path | None = None, shapes_only: bool = False) -> ClipModel:
    """A shipped base model, or another one of its form.

    Args:
        name: of a shipped model; with ``folder``, any name.
        initial: whether it is untrained, as pretraining starts from it.
        folder: holds another pretrained model, as ``fomo pretrain`` writes it.
        shapes_only: whether its tensors are on the meta device, where they have no content.

    Raises:
        FomoError: there is no such model, or its weights do not fit its configuration.
    """
    config = read_config(name, folder)
    if shapes_only:
        return _wrap(name, _architecture(config, "meta"), config)
    network = _untrained(config)
    if initial:
        return _wrap(name, network, config, (RANDOM_BASE,))
    _load_compact(network, load_file(_place(name, folder) / "model.safetensors"), f"pocket model '{name}'")
    return _wrap(name, network, config)


def _untrained(config: Mapping[str, Any]) -> CLIP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _architecture(config, "cpu")
    network.token_embedding.weight.data = _initial_embedding(*network.token_embedding.weight.shape)
    return network


def _architecture(config: Mapping[str, Any], device: str) -> CLIP:
    with torch.device(device):
        return CLIP(config["embed_dim"], dict(config["vision_cfg"]), dict(config["text_cfg"]))


def _initial_embedding(num_tokens: int, width: int) -> Tensor:
    drawn = rng.generator(0, "token_embedding").standard_normal((num_tokens, width), dtype=np.float32)
    return torch.from_numpy(drawn * 0.02)


def _wrap(name: str, network: CLIP, config: Mapping[str, Any], caveats: tuple[str, ...] = ()) -> ClipModel:
    tokenizer = open_clip.SimpleTokenizer(context_length=network.context_length)
    preprocess = Preprocess(config["vision_cfg"]["image_size"], tuple(config["mean"]), tuple(config["std"]))
    return ClipModel(name, network, partial(tokens_of, tokenizer), preprocess, caveats)


def compact(network: CLIP) -> dict[str, Tensor]:
    """The weights to ship: fp16, and of the token embedding only the rows that training changed.

    The rows left out are the seeded initial ones, which :func:`pocket` draws again.
    """
    state = {k: v.half().contiguous() for k, v in network.state_dict().items() if v.is_floating_point()}
    weight = network.token_embedding.weight.detach()
    rows = (weight != _initial_embedding(*weight.shape)).any(dim=1).nonzero().flatten()
    del state[EMBEDDING]
    return state | {"token_embedding.rows": rows.int(), "token_embedding.values": weight[rows].half()}


def _load_compact(network: CLIP, stored: dict[str, Tensor], what: str) -> None:
    weight = _initial_embedding(*network.token_embedding.weight.shape)
    weight[stored.pop("token_embedding.rows").long()] = stored.pop("token_embedding.values").float()
    result = network.load_state_dict({k: v.float() for k, v in stored.items()} | {EMBEDDING: weight}, strict=False)
    missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
    if missing or result.unexpected_keys:
        listed = [*(f"{key} missing" for key in missing), *(f"{key} left over" for key in result.unexpected_keys)]
        raise FomoError(f"{what}: {len(listed)} keys do not fit: {'; '.join(listed[:3])}.")
