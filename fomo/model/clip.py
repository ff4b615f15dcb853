"""CLIP models: the shipped pocket bases, and any open_clip model with the softmax loss."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fomo import rng
from fomo.errors import FomoError, unknown
from fomo.model.names import MODELS, open_clip_configs, open_clip_names, pocket_names

LONGEST_TEXT = 2_000
"""Letters of a text that are looked at; the 77 tokens of a context rarely take 400."""
EMBEDDING = "token_embedding.weight"
Tokenize = Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True)
class ClipModel:
    """A CLIP network and what goes with it. ``mean`` and ``std`` are of RGB values in [0, 1]."""

    name: str
    network: CLIP
    tokenize: Tokenize
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 [b, 3, h, w] to the network's float input."""
        mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (self.mean, self.std))
        return (images.float() / 255 - mean) / std


def tokens_of(tokenizer: Tokenize, texts: Sequence[str]) -> Tensor:
    """Tokens of the beginnings of texts, int64 [n, context]: time grows with the square of a word's length."""
    return tokenizer([text[:LONGEST_TEXT] for text in texts])


def train_mode(network: nn.Module) -> None:
    """Training mode with fixed BatchNorm statistics: small batches of few concepts would spoil them."""
    network.train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def checkpoint_activations(network: CLIP, enabled: bool) -> None:
    """Gradient checkpointing in the blocks of both transformers; open_clip's ModifiedResNet has none."""
    network.set_grad_checkpointing(enabled)


def read_config(name: str, folder: Path | None = None) -> dict[str, Any]:
    """The open_clip configuration of a shipped base model, with ``mean`` and ``std``; or the one in ``folder``."""
    if folder is None and name not in pocket_names():
        raise unknown("pocket model", name, pocket_names())
    config: dict[str, Any] = json.loads(((folder or MODELS / name) / "config.json").read_text())
    return config


def pocket(name: str, initial: bool = False, folder: Path | None = None, shapes_only: bool = False) -> ClipModel:
    """A shipped base model; ``initial=True`` gives it untrained, as pretraining starts from it.

    ``folder`` holds another pretrained one, as ``fomo pretrain`` writes it; ``shapes_only`` gives tensors on the meta
    device, which have no content.
    """
    config = read_config(name, folder)
    if shapes_only:
        return _wrap(name, _architecture(config, "meta"), config)
    network = _untrained(config)
    if not initial:
        stored = load_file((folder or MODELS / name) / "model.safetensors")
        _load_compact(network, stored, f"pocket model '{name}'")
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


def _wrap(name: str, network: CLIP, config: Mapping[str, Any]) -> ClipModel:
    tokenizer = open_clip.SimpleTokenizer(context_length=network.context_length)
    size = config["vision_cfg"]["image_size"]
    tokenize = partial(tokens_of, tokenizer)
    return ClipModel(name, network, tokenize, size, tuple(config["mean"]), tuple(config["std"]))


def compact(network: CLIP) -> dict[str, Tensor]:
    """The weights to ship: fp16, and of the token embedding only the rows that training changed.

    The other rows are the seeded initial ones, which :func:`pocket` draws again.
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
        raise FomoError(f"{what}: weights do not fit: missing {missing}, unexpected {result.unexpected_keys}")


def _refuse_other_losses(name: str) -> None:
    config = json.loads((open_clip_configs() / f"{name}.json").read_text())
    if "multimodal_cfg" in config:
        raise FomoError(
            f"model '{name}' has a captioning decoder (CoCa). Only towers with the softmax CLIP loss are supported."
        )
    if "init_logit_bias" in config:
        raise FomoError(
            f"model '{name}' is trained with the sigmoid loss (SigLIP). Only the softmax CLIP loss is supported."
        )


@contextmanager
def without_warnings() -> Iterator[None]:
    """open_clip warns that a model has no weights, also where it needs none."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def pretrained_clip(name: str, pretrained: str | None = None, shapes_only: bool = False) -> ClipModel:
    """An open_clip model; ``pretrained`` is one of its tags or a local file, ``None`` means seeded random weights.

    ``shapes_only`` builds it on the meta device, without weights and without a download.
    """
    if name not in open_clip_names():
        raise unknown("open_clip model", name, open_clip_names())
    _refuse_other_losses(name)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is not None and pretrained not in tags and not Path(pretrained).is_file():
        raise unknown(f"pretrained weights of '{name}'", pretrained, tags, "Or give the path of a file.")
    device = "meta" if shapes_only else "cpu"
    quietly = without_warnings() if shapes_only else nullcontext()
    with torch.random.fork_rng(devices=[]), torch.device(device), quietly:
        torch.manual_seed(0)
        try:
            network = open_clip.create_model(name, pretrained=None if shapes_only else pretrained, device=device)
        except Exception as error:  # weights of others, which open_clip reads without code in them
            raise FomoError(f"open_clip could not build '{name}' with pretrained='{pretrained}': {error}") from error
    size = network.visual.image_size
    side = size[0] if isinstance(size, tuple) else int(size)
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    mean = tuple(getattr(network.visual, "image_mean", None) or mean)
    std = tuple(getattr(network.visual, "image_std", None) or std)
    tokenize = partial(tokens_of, open_clip.get_tokenizer(name))
    return ClipModel(name, network, tokenize, side, mean, std)
