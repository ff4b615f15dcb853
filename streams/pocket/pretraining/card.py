"""What a pretraining leaves behind: the weights as they ship, the recipe, the scores, the card."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save

from fomo.evaluation.config import EVALUATION_SPLITS, EvaluationConfig
from fomo.evaluation.zero_shot import scored_datasets
from fomo.model.clip import ClipModel
from fomo.model.names import MODELS
from fomo.model.shipped import MERGES, compact, pocket, read_config
from fomo.model.widths import widened
from fomo.system.digest import file_digest
from fomo.system.runtime import Runtime
from fomo.system.writing import write_bytes, write_json
from streams.pocket import datasets, sets
from streams.pocket.drawings.pool import FAMILIES
from streams.pocket.pretraining.train import PretrainingRecipe

SCHEMA = "fomo.model/1"
LICENCE = "Apache-2.0"
WEIGHTS = "model.safetensors"
Scores = Mapping[str, Mapping[str, Any]]


def zero_shot_scores(model: ClipModel) -> Scores:
    """Zero-shot scores by split: percent of each dataset with the first prompt template, and the mean of each role."""
    datasets.draw_ahead([(name, split) for name in datasets.names() for split in EVALUATION_SPLITS], pool_size=0)
    return {split: _scores(model, split) for split in EVALUATION_SPLITS}


def _scores(model: ClipModel, split: str) -> dict[str, Any]:
    opened = {name: datasets.open_pocket(name) for name in datasets.names()}
    scored = scored_datasets(model, opened, EvaluationConfig(split=split), Runtime(device="cpu"))
    scores = {name: result.score for name, result in scored}
    return {f"mean_{role}": _mean(scores, role) for role in ("retention", "adaptation")} | {"datasets": scores}


def _mean(scores: Mapping[str, float], role: str) -> float:
    return float(np.mean([score for name, score in scores.items() if sets.DATASETS[name].role == role]))


def write_model(
    folder: Path, model: ClipModel, recipe: PretrainingRecipe, score: Callable[[ClipModel], Scores]
) -> Scores:
    """Write a pretrained model with its recipe and its card, the card last; returns its scores.

    Args:
        folder: made if it is not there.
        model: the pretrained model.
        recipe: how it was trained.
        score: is called with the model read back from the file, whose weights are rounded there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / WEIGHTS, save(compact(model.network)))
    config = widened(model.name, read_config(model.name), recipe.width)
    if recipe.width == 1:
        shutil.copyfile(MODELS / model.name / "config.json", folder / "config.json")
    else:
        write_json(folder / "config.json", config)
    shutil.copyfile(MERGES, folder / MERGES.name)
    write_json(folder / "recipe.json", recipe.written())
    scores = score(pocket(model.name, folder=folder, width=recipe.width))
    write_json(
        folder / "card.json",
        {
            "schema": SCHEMA,
            "name": model.name,
            "config": config,
            "recipe": recipe.written(),
            "tokenizer": describe_tokenizer(model.name),
            "data": describe_pool(recipe.num_samples),
            "sha256": file_digest(folder / WEIGHTS),
            "scores": scores,
            "licence": LICENCE,
        },
    )
    return scores


def describe_tokenizer(name: str) -> dict[str, Any]:
    """What plain open_clip needs to read texts as the model does: CLIP's tokenizer with the first of its merges."""
    length = read_config(name)["text_cfg"]["context_length"]
    return {
        "file": MERGES.name,
        "sha256": file_digest(MERGES),
        "context_length": length,
        "open_clip": f"open_clip.SimpleTokenizer('FOLDER/{MERGES.name}', context_length={length})",
    }


def describe_pool(num_samples: int) -> dict[str, Any]:
    """What the model was trained on; the hashes are of the images, the concepts and the captions."""
    folder = datasets.open_pool(num_samples).folder
    return {
        "name": "pocket pool",
        "source": datasets.SOURCE,
        "num_samples": num_samples,
        "families": [family.name for family in FAMILIES],
        "sha256": {name: file_digest(folder / name) for name in ("images.npy", "targets.npy", "captions.json")},
        "licence": LICENCE,
    }
