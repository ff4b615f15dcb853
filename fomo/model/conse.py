"""A classifier and a sentence encoder as one CLIP model, joined in closed form.

ConSE (Norouzi et al. 2014, arXiv 1312.5650): the feature of an image is :math:`\\sum_c p(c \\mid x)\\, e_c`, the mean
of the embeddings e of the names of the classes c that the classifier knows, weighted by their probability. What
differs: all classes are in the sum, not the ten likeliest, so that it is an ordinary network, a softmax between two
matrices, and everything in it can be trained on; and a perceptron stands beside the softmax, whose output is added. Its
last map is zero at first, which is ConSE; it learns what no mixture of names says.
"""

import math
from collections.abc import Mapping
from typing import Any

import timm
import torch
from open_clip.model import CustomTextCLIP
from timm.layers import Mlp
from torch import Tensor, nn

from fomo.model.sentence import SentenceTower

CONSE = "conse"
"""What stands as ``timm_proj`` in a configuration: a projection that open_clip has not, and refuses."""
NUM_CLASSES = 1000
"""Of ImageNet-1k, which the classifier tells apart."""


class ConseTower(nn.Module):
    """The image tower: a classifier of timm, the embeddings of the names of its classes, and a perceptron beside them.

    Args:
        classifier: the name of timm's model.
        num_classes: which the classifier tells apart.
        width: of features.
        head_width: of the perceptron's hidden rows.
        image_size: side of the images, in pixels.
    """

    def __init__(self, classifier: str, num_classes: int, width: int, head_width: int, image_size: int) -> None:
        super().__init__()
        self.image_size = (image_size, image_size)
        self.trunk = timm.create_model(classifier, num_classes=num_classes, pretrained=False)
        self.names = nn.Linear(num_classes, width, bias=False)
        self.mlp = Mlp(self.trunk.num_features, head_width, width)
        for parameter in self.mlp.fc2.parameters():
            nn.init.zeros_(parameter)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep the activations of few layers, or all."""
        self.trunk.set_grad_checkpointing(enable)

    def forward(self, images: Tensor) -> Tensor:
        """Features [b, d] of normalised images [b, 3, h, w]."""
        return self.of_rows(self.rows(images))

    def rows(self, images: Tensor) -> Tensor:
        """What stands before the classifier's last layer, [b, f]. Channels lie last in memory: convolutions over single
        channels take half the time on a CPU.
        """
        found = self.trunk.forward_features(images.contiguous(memory_format=torch.channels_last))
        return self.trunk.forward_head(found, pre_logits=True)

    def of_rows(self, rows: Tensor) -> Tensor:
        """Features [b, d] of :meth:`rows` [b, f]."""
        return self.names(self.trunk.get_classifier()(rows).softmax(-1)) + self.mlp(rows)


class JoinedClip(CustomTextCLIP):  # type: ignore[misc]
    """A CLIP model of these two towers; all else is open_clip's.

    Args:
        embed_dim: width of the features.
        vision: ``timm_model_name``, ``head_width`` and ``image_size``.
        text: what :class:`~fomo.model.sentence.SentenceTower` takes.
    """

    def __init__(self, embed_dim: int, vision: Mapping[str, Any], text: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)  # open_clip's own builds other towers
        self.output_dict = False
        classifier, head_width = vision["timm_model_name"], vision["head_width"]
        self.visual = ConseTower(classifier, NUM_CLASSES, embed_dim, head_width, vision["image_size"])
        self.text = SentenceTower(**text)
        self.context_length = self.text.context_length
        self.vocab_size = self.text.vocab_size
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.logit_bias = None
