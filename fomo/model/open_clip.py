"""Any open_clip model with the softmax CLIP loss, by its name and the tag or file of its weights."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import open_clip
import torch

from fomo.errors import FomoError, unknown
from fomo.model.clip import ClipModel, tokens_of
from fomo.model.names import open_clip_configs, open_clip_names


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
