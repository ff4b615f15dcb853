"""Zero-shot evaluation: a classifier from prompts, top-1 accuracy per dataset and per task (Radford et al. 2021)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fomo.data.card import DatasetCard
from fomo.data.images import central_crop
from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError, unknown
from fomo.model import ClipModel
from fomo.runtime import Runtime
from fomo.stream import Stream

EVALUATION_SPLITS = ("test", "validation")
TEMPLATES = ("first", "all")


@dataclass(frozen=True)
class EvaluationConfig:
    """How to evaluate. ``validation`` serves to choose settings: its results are marked and never ranked.

    ``templates="first"`` uses one primer prompt per class, as the published numbers do; ``"all"`` averages.
    """

    split: str = "test"
    templates: str = "first"
    batch_size: int = 512

    def __post_init__(self) -> None:
        if self.split not in EVALUATION_SPLITS:
            raise unknown("value of evaluation.split", self.split, EVALUATION_SPLITS)
        if self.templates not in TEMPLATES:
            raise unknown("value of evaluation.templates", self.templates, TEMPLATES)
        if self.batch_size < 1:
            raise FomoError(f"evaluation.batch_size={self.batch_size}: allowed are 1 and above.")


@dataclass(frozen=True)
class Evaluation:
    """Percent per dataset and per task (from 1), and the number of samples behind each dataset's score."""

    scores: Mapping[str, float]
    tasks: Mapping[int, float]
    num_samples: Mapping[str, int]


class _Images(TorchDataset[Tensor]):
    """Central crops of a split, uint8 [3, s, s]."""

    def __init__(self, samples: Samples, size: int) -> None:
        self.samples, self.size = samples, size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Tensor:
        pixels = central_crop(self.samples.image(index), self.size)
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)


@torch.inference_mode()
def classifier(model: ClipModel, card: DatasetCard, templates: str, runtime: Runtime) -> Tensor:
    """Unit text features [classes, d], each the mean over the prompt templates in use."""
    used = card.templates[:1] if templates == "first" else card.templates
    features = []
    for template in used:
        tokens = model.tokenize(card.prompts(template)).to(runtime.device)
        with runtime.autocast():
            encoded = torch.cat([model.network.encode_text(part, normalize=True) for part in tokens.split(256)])
        features.append(encoded.float())
    return F.normalize(torch.stack(features).mean(dim=0), dim=-1)


@torch.inference_mode()
def predictions(model: ClipModel, samples: Samples, weights: Tensor, batch_size: int, runtime: Runtime) -> np.ndarray:
    """Predicted class of each sample: int64 [n]. All classes of the dataset compete."""
    loader = DataLoader(
        _Images(samples, model.image_size),
        batch_size=batch_size,
        num_workers=runtime.num_workers,
        generator=torch.Generator(),
    )
    return np.concatenate([_predict(model, images, weights, runtime).cpu().numpy() for images in loader])


def _predict(model: ClipModel, images: Tensor, weights: Tensor, runtime: Runtime) -> Tensor:
    with runtime.autocast():
        features = model.network.encode_image(model.normalize(images.to(runtime.device)), normalize=True)
    return (features.float() @ weights.T).argmax(dim=-1)


def correct_per_dataset(
    model: ClipModel, datasets: Mapping[str, Dataset], config: EvaluationConfig, runtime: Runtime
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, hits (bool [n]) and targets [n] of each dataset in turn."""
    model.network.eval()
    with parametrize.cached():
        for name, dataset in datasets.items():
            samples = dataset.split(config.split)
            weights = classifier(model, dataset.card, config.templates, runtime)
            predicted = predictions(model, samples, weights, config.batch_size, runtime)
            yield name, predicted == samples.targets, samples.targets


def evaluate(
    model: ClipModel,
    stream: Stream,
    config: EvaluationConfig,
    runtime: Runtime,
    on_dataset: Callable[[str], None] = lambda name: None,
) -> Evaluation:
    """Score every dataset of the stream, and the samples of each task's concepts."""
    scores: dict[str, float] = {}
    num_samples: dict[str, int] = {}
    hits_per_task = np.zeros(len(stream.tasks) + 1)
    samples_per_task = np.zeros(len(stream.tasks) + 1)
    for name, hits, targets in correct_per_dataset(model, stream.datasets, config, runtime):
        on_dataset(name)
        scores[name], num_samples[name] = 100 * float(hits.mean()), len(hits)
        if name in stream.adaptation:
            tasks = stream.class_tasks(name)[targets]
            hits_per_task += np.bincount(tasks, weights=hits, minlength=len(hits_per_task))
            samples_per_task += np.bincount(tasks, minlength=len(hits_per_task))
    tasks_scored = np.flatnonzero(samples_per_task[1:]) + 1
    per_task = {int(task): float(100 * hits_per_task[task] / samples_per_task[task]) for task in tasks_scored}
    return Evaluation(scores, per_task, num_samples)
