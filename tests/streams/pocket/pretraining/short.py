"""A pretraining of three steps."""

from pathlib import Path

from streams.pocket.pretraining.card import WEIGHTS, write_model
from streams.pocket.pretraining.train import PretrainingRecipe, pretrain

SHORT = PretrainingRecipe(num_samples=64, steps=3, batch_size=16, lr=1e-3, weight_decay=0.1, warmup=0.1, shift=2)


def written(folder: Path, name: str, recipe: PretrainingRecipe) -> bytes:
    write_model(folder, pretrain(name, recipe), recipe, lambda model: {})
    return (folder / WEIGHTS).read_bytes()
