"""Zero-shot classification (Radford et al. 2021): a classifier from prompts, and the classes that it predicts."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fomo.data.card import DatasetCard
from fomo.data.samples import Samples
from fomo.evaluation.images import Decoder, ImageStream
from fomo.evaluation.templates import (
    Templates,
    prompts_in_use,
)
from fomo.evaluation.texts import TextFeatures, check_finite, encode_texts
from fomo.model.clip import ClipModel
from fomo.system.runtime import Runtime


def classifier(model: ClipModel, card: DatasetCard, templates: Templates, runtime: Runtime) -> Tensor:
    """Unit text features [classes, d], each the mean over the prompt templates in use."""
    prompts = prompts_in_use(card, templates)
    return classifier_of(encode_texts(model, chain(*prompts), runtime), prompts)


def classifier_of(texts: TextFeatures, prompts: Sequence[Sequence[str]]) -> Tensor:
    """Unit text features [classes, d], each the mean over prompts that are encoded: one list a template."""
    return F.normalize(torch.stack([texts.of(each) for each in prompts]).mean(dim=0), dim=-1)


def predictions(model: ClipModel, samples: Samples, weights: Tensor, batch_size: int, runtime: Runtime) -> np.ndarray:
    """The predicted class of each sample, all classes of the dataset competing: int64 [n].

    Args:
        model: the network and its preprocessing.
        samples: what is classified.
        weights: unit text features, one row a class, [classes, d].
        batch_size: images at a time.
        runtime: device, precision and workers.

    Raises:
        NotFinished: some features of images are NaN or infinite.
    """
    stream = ImageStream(Decoder(("samples",), (samples,), model.preprocess), batch_size, runtime)
    return predicted((features for _, features in stream.features(model)), weights)


def predicted(features: Iterable[Tensor], weights: Tensor) -> np.ndarray:
    """The class of each image, int64 [n], from features of images [k, d] and of classes [classes, d].

    Raises:
        NotFinished: some features are NaN or infinite.
    """
    return judged(features, lambda each: (each @ weights.T).argmax(dim=-1)).cpu().numpy()


def judged(features: Iterable[Tensor], judge: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``judge`` makes of the features of images [k, d], all [n, …]; the device is waited for once.

    Raises:
        NotFinished: some are NaN or infinite.
    """
    made = []
    finite = []
    for each in features:
        made.append(judge(each))
        finite.append(each.isfinite().all(dim=1))
    check_finite(torch.cat(finite), "images")
    return torch.cat(made)
