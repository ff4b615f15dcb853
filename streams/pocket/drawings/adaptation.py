"""The adaptation datasets of the pocket benchmark: concepts that the pretraining pool never shows."""

from streams.pocket.drawings import aerial, cards, charts, diagrams, flags, glyphs, objects, signs, solids
from streams.pocket.drawings.generator import PocketDataset

ADAPTATION: tuple[PocketDataset, ...] = (
    *flags.DATASETS,
    *glyphs.DATASETS,
    *objects.DATASETS,
    *charts.DATASETS,
    *diagrams.DATASETS,
    *solids.DATASETS,
    *aerial.DATASETS,
    *signs.DATASETS,
    *cards.DATASETS,
)
