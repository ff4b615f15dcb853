"""What a model makes of a dataset's images with one prompt template or another. Images are encoded once."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from fomo.data.card import DatasetCard
from fomo.data.samples import Dataset
from fomo.evaluation.classifier import classifier_of
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.prompts import alike_classes
from fomo.evaluation.templates import beginnings
from fomo.evaluation.texts import check_finite, encode_texts
from fomo.evaluation.zero_shot import image_stream
from fomo.model.clip import ClipModel
from fomo.system.runtime import Runtime


class TemplateJudge:
    """The images of a dataset's split that have a class, as features, and a model that encodes prompts.

    A template costs the encoding of its prompts; ``num_texts`` counts them. The model is in evaluation mode.
    """

    def __init__(self, model: ClipModel, dataset: Dataset, config: EvaluationConfig, runtime: Runtime) -> None:
        model.network.eval()
        samples = config.in_full.seen_of(dataset)
        stream = image_stream(model, {dataset.name: dataset}, [samples], config, runtime)
        features = torch.cat([each for _, each in stream.features(model)])
        check_finite(features.isfinite().all(dim=1), "images")
        rows = np.flatnonzero(samples.targets >= 0)
        self.targets: np.ndarray = samples.targets[rows]
        self.classes: Sequence[str] = dataset.card.classes
        self.num_texts = 0
        self._images = features[torch.from_numpy(rows).to(features.device)]
        self._card: DatasetCard = dataset.card
        self._model = model
        self._runtime = runtime
        self._together: dict[str, Tensor] = {}
        self._num_alike = self._alike(dataset.card.templates[0])

    def taken(self, templates: Sequence[str]) -> list[np.ndarray]:
        """The class that each image is taken for, int64 [n], by each template."""
        return [self._found(self._images, weights) for weights in self._weights(templates)]

    def tried(self, templates: Sequence[str], images: np.ndarray, classes: np.ndarray) -> list[int]:
        """How many of some images each template gets right, where there are only some classes."""
        pixels = self._images[torch.from_numpy(images).to(self._images.device)]
        found = [classes[self._found(pixels, weights)] for weights in self._weights(templates, classes)]
        return [int((each == self.targets[images]).sum()) for each in found]

    def together(self, templates: Sequence[str]) -> int:
        """How many images some templates get right whose features are averaged, as an evaluation averages them."""
        new = [each for each in templates if each not in self._together]
        self._together |= zip(new, self._weights(new) if new else (), strict=True)
        mean = torch.stack([self._together[template] for template in templates]).mean(dim=0)
        return int((self._found(self._images, mean / mean.norm(dim=-1, keepdim=True)) == self.targets).sum())

    def usable(self, templates: Sequence[str]) -> list[str]:
        """Those by which the model tells apart as many classes as by the card's first: a longer one may be cut."""
        return [each for each in templates if self._alike(each) <= self._num_alike]

    def _alike(self, template: str) -> int:
        found = alike_classes(self._card, {self._card.name: [template]}, self._model.tokenize)
        return sum(len(each.classes) for each in found)

    def _weights(self, templates: Sequence[str], classes: np.ndarray | None = None) -> list[Tensor]:
        """Unit features of the prompts of some classes, or of all, [classes, d], by template."""
        if not templates:
            return []
        rows = range(len(self.classes)) if classes is None else classes.tolist()
        prompts = [[prompts[row] for row in rows] for prompts in map(self._card.prompts, templates)]
        begin = beginnings(dict(zip(templates, prompts, strict=True)))
        texts = encode_texts(self._model, chain(*prompts), self._runtime, begin)
        self.num_texts += len(texts.rows)
        return [classifier_of(texts, [each]) for each in prompts]

    @staticmethod
    def _found(images: Tensor, weights: Tensor) -> np.ndarray:
        found: np.ndarray = (images @ weights.T).argmax(dim=-1).cpu().numpy()
        return found
