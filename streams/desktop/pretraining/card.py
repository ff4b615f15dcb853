"""What a pretraining of the desktop's model leaves behind: weights, what belongs to them, the recipe, the card."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save

from fomo.data.samples import Dataset
from fomo.evaluation.config import EVALUATION_SPLITS, EvaluationConfig
from fomo.evaluation.zero_shot import scored_datasets
from fomo.model.clip import ClipModel
from fomo.model.stored import write_form
from fomo.model.weights import folded
from fomo.results.layout import WEIGHTS
from fomo.system.digest import file_digest
from fomo.system.runtime import Runtime
from fomo.system.writing import write_bytes, write_json
from streams.desktop.declared import Package
from streams.desktop.pretraining.join import TEMPLATE
from streams.desktop.pretraining.train import HeadRecipe, Tick

SCHEMA = "fomo.model/1"
LICENCE = "Apache-2.0"
"""Of both towers; the images are under licences of their own, which the cards of the datasets list."""


def write_model(folder: Path, model: ClipModel) -> str:
    """Write the weights and what belongs to them; returns the SHA-256 of the file of weights."""
    write_bytes(folder / WEIGHTS.name, save({name: each.contiguous() for name, each in folded(model.network).items()}))
    write_form(folder, model)
    return file_digest(folder / WEIGHTS.name)


def zero_shot_scores(model: ClipModel, datasets: Mapping[str, Dataset], tick: Tick) -> dict[str, Any]:
    """Percent of each dataset with the first prompt template, and the mean of each role, by split.

    ``tick`` hears of datasets that are done.
    """
    return {split: _scores(model, datasets, split, tick) for split in EVALUATION_SPLITS}


def _scores(model: ClipModel, datasets: Mapping[str, Dataset], split: str, tick: Tick) -> dict[str, Any]:
    scores: dict[str, float] = {}
    for name, scored in scored_datasets(model, datasets, EvaluationConfig(split=split), Runtime(device="cpu")):
        scores[name] = scored.score
        tick(1)
    roles = {name: dataset.card.role for name, dataset in datasets.items()}
    means = {f"mean_{role}": _mean(scores, roles, role) for role in ("retention", "adaptation")}
    return means | {"datasets": scores}


def _mean(scores: Mapping[str, float], roles: Mapping[str, str], role: str) -> float:
    return float(np.mean([score for name, score in scores.items() if roles[name] == role]))


def write_card(
    folder: Path,
    model: ClipModel,
    recipe: HeadRecipe,
    packages: Sequence[Package],
    seen: Sequence[Path],
    scores: Mapping[str, Any],
) -> None:
    """Write the recipe and, last, the card.

    Args:
        folder: where the model is written already.
        model: it.
        recipe: how it was trained.
        packages: what its towers are of.
        seen: the folders of the datasets whose training images it was trained on.
        scores: of :func:`zero_shot_scores`.
    """
    data = [{"name": each.name, "card_sha256": file_digest(each / "dataset.json")} for each in seen]
    write_json(folder / "recipe.json", dataclasses.asdict(recipe))
    write_json(
        folder / "card.json",
        {
            "schema": SCHEMA,
            "name": model.name,
            "config": dict(model.architecture),
            "towers": [dataclasses.asdict(each) for each in packages],
            "joined_by": f"softmax of the classifier times the encoder's embeddings of '{TEMPLATE}', plus a perceptron",
            "recipe": dataclasses.asdict(recipe),
            "data": data,
            "sha256": file_digest(folder / WEIGHTS.name),
            "scores": scores,
            "licence": LICENCE,
        },
    )
