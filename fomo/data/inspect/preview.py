"""``fomo data preview``: a grid of samples with their class and caption, to see what a dataset shows."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont, ImageOps

from fomo import rng
from fomo.data.samples import Dataset, Samples

COLUMNS = 6
TILE = 176
GAP = 12
LINE = 15
TITLE = 28
"""Heights of a tile (a square), of the room around it, of a line of text and of the title, in pixels."""
NUM_LINES = 3
"""Lines of a caption at most."""


def preview(dataset: Dataset, split: str, num_samples: int, seed: int = 0) -> Image.Image:
    """A grid of ``num_samples`` images, of as many classes as possible, each above its class and first caption.

    Args:
        dataset: what to show.
        split: of the dataset.
        num_samples: how many images; fewer where the split has fewer.
        seed: other seeds choose other images.
    """
    samples = dataset.split(split)
    rows = chosen(samples.targets, num_samples, seed)
    height = TILE + (NUM_LINES + 1) * LINE + GAP
    size = (GAP + COLUMNS * (TILE + GAP), TITLE + GAP + -(-len(rows) // COLUMNS) * height)
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP // 2), _title(dataset, split), fill="black", font=_font(16, bold=True))
    for number, row in enumerate(rows):
        corner = (GAP + number % COLUMNS * (TILE + GAP), TITLE + GAP + number // COLUMNS * height)
        _tile(page, draw, corner, samples, int(row), dataset)
    return page


def chosen(targets: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Rows in the order of their classes: int64 [number].

    They are drawn so that no class comes a second time before all have come once.
    """
    order = rng.generator(seed, "preview").permutation(len(targets))
    round_of = np.empty(len(targets), dtype=np.int64)
    seen: dict[int, int] = {}
    for row in order:
        target = int(targets[row])
        round_of[row] = seen[target] = seen.get(target, -1) + 1
    first = order[np.argsort(round_of[order], kind="stable")][:number]
    return first[np.lexsort((first, targets[first]))]


def _title(dataset: Dataset, split: str) -> str:
    card = dataset.card
    return f"{card.name}: {card.num_samples[split]} {split} samples, {len(card.classes)} classes, {card.kind}"


def _tile(
    page: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], samples: Samples, row: int, dataset: Dataset
) -> None:
    left, top = corner
    image = samples.image(row)
    tiny = max(image.size) < TILE / 2  # their pixels are to be seen as they are
    scaled = ImageOps.contain(image, (TILE, TILE), Image.Resampling.NEAREST if tiny else Image.Resampling.BICUBIC)
    page.paste(scaled, (left + (TILE - scaled.width) // 2, top + (TILE - scaled.height) // 2))
    target = int(samples.targets[row])
    name = dataset.card.classes[target] if target >= 0 else ""
    captions = samples.captions(row)
    prompt = dataset.card.prompts(dataset.card.templates[0])[target] if dataset.card.templates and name else ""
    bold = _font(12, bold=True)
    plain = _font(11)
    lines = [(line, bold) for line in wrapped(name, bold, 1)]
    lines += [(line, plain) for line in wrapped(captions[0] if captions else prompt, plain, NUM_LINES)]
    for number, (line, font) in enumerate(lines):
        draw.text((left, top + TILE + number * LINE), line, fill="black", font=font)


def wrapped(text: str, font: ImageFont.FreeTypeFont, num_lines: int) -> list[str]:
    """Up to ``num_lines`` lines of at most a tile's width; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    rest = " ".join(text.split())
    while rest and len(lines) < num_lines:
        last = len(lines) == num_lines - 1
        line = _fitting(rest, font, last)
        lines.append(line)
        rest = "" if last else rest[len(line) :].lstrip()
    return lines


def _fitting(text: str, font: ImageFont.FreeTypeFont, last: bool) -> str:
    """The longest beginning of ``text`` that fits a tile, cut at a space where there is one."""
    if font.getlength(text) <= TILE:
        return text
    ellipsis = "…" if last else ""
    length = max(n for n in range(1, len(text) + 1) if n == 1 or font.getlength(text[:n] + ellipsis) <= TILE)
    space = text.rfind(" ", 1, length + 1)
    return text[: space if space > 0 else length] + ellipsis


@lru_cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)
