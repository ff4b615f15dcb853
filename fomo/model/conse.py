"""A classifier and a sentence encoder as one CLIP model, joined in closed form.

ConSE (Norouzi et al. 2014, arXiv 1312.5650): the feature of an image is :math:`\\sum_c p(c \\mid x)\\, e_c`, the mean
of the embeddings e of the names of the classes c that the classifier knows, weighted by their probability. What
differs: all classes are in the sum, not the ten likeliest, so that it is an ordinary network, a softmax between two
matrices, and everything in it can be trained on.
"""

import math
from collections.abc import Mapping
from typing import Any

import timm
import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn

from fomo.model.sentence import SentenceTower

CONSE = "conse"
"""What stands as ``timm_proj`` in a configuration: a projection that open_clip has not, and refuses."""
NUM_CLASSES = 1000
"""Of ImageNet-1k, which the classifier tells apart."""


class ConseTower(nn.Module):
    """The image tower: a classifier of timm, and the embeddings of the names of its classes.

    Args:
        classifier: the name of timm's model.
        num_classes: which the classifier tells apart.
        width: of features.
        image_size: side of the images, in pixels.
    """

    def __init__(self, classifier: str, num_classes: int, width: int, image_size: int) -> None:
        super().__init__()
        self.image_size = (image_size, image_size)
        self.trunk = timm.create_model(classifier, num_classes=num_classes, pretrained=False)
        self.names = nn.Linear(num_classes, width, bias=False)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep the activations of few layers, or all."""
        self.trunk.set_grad_checkpointing(enable)

    def forward(self, images: Tensor) -> Tensor:
        """Features [b, d] of normalised images [b, 3, h, w]."""
        return self.names(self.trunk(images).softmax(-1))


class JoinedClip(CustomTextCLIP):  # type: ignore[misc]
    """A CLIP model of these two towers; all else is open_clip's.

    Args:
        embed_dim: width of the features.
        vision: ``timm_model_name`` and ``image_size``.
        text: what :class:`~fomo.model.sentence.SentenceTower` takes.
    """

    def __init__(self, embed_dim: int, vision: Mapping[str, Any], text: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)  # open_clip's own builds other towers
        self.output_dict = False
        self.visual = ConseTower(vision["timm_model_name"], NUM_CLASSES, embed_dim, vision["image_size"])
        self.text = SentenceTower(**text)
        self.context_length = self.text.context_length
        self.vocab_size = self.text.vocab_size
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.logit_bias = None
