"""Playing cards: five ranks in four suits, thrown on a table."""

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.generator import PocketDataset

RANKS = {"ace": "A", "ten": "10", "jack": "J", "queen": "Q", "king": "K"}
SUITS: dict[str, tuple[str, canvas.Color]] = {
    "spades": ("\N{BLACK SPADE SUIT}", (15, 15, 20)),
    "hearts": ("\N{BLACK HEART SUIT}", (200, 20, 30)),
    "diamonds": ("\N{BLACK DIAMOND SUIT}", (200, 20, 30)),
    "clubs": ("\N{BLACK CLUB SUIT}", (15, 15, 20)),
}
CARDS = tuple(product(RANKS, SUITS))
FONTS = ("DejaVuSans-Bold.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSans.ttf")
WIDTH = 66
HEIGHT = 90


@lru_cache(maxsize=len(CARDS) * len(FONTS) * 2)
def face_of(label: int, font: str, mirrored: bool) -> Image.Image:
    """One card lying straight, rank and suit in opposite corners; shared, so never drawn on."""
    rank, suit = CARDS[label]
    sign, ink = SUITS[suit]
    left, right = (WIDTH - 24, 22) if mirrored else (24, WIDTH - 22)
    card = Image.new("RGBA", (WIDTH, HEIGHT), (246, 245, 240, 255))
    pen = canvas.draw_on(card)
    pen.rectangle((0, 0, WIDTH - 1, HEIGHT - 1), outline=(90, 90, 90, 255), width=2)
    text = RANKS[rank]
    pen.text((left, 25), text, fill=ink, font=canvas.font(font, 46 if len(text) == 1 else 33), anchor="mm")
    pen.text((right, HEIGHT - 26), sign, fill=ink, font=canvas.font("DejaVuSans-Bold.ttf", 58), anchor="mm")
    return card


def draw_card(rng: Generator, label: int) -> Image.Image:
    """A card turned and moved a little, on a table of any colour."""
    table = canvas.noise(rng, canvas.any_color(rng), strength=20)
    card = face_of(label, FONTS[rng.integers(len(FONTS))], bool(rng.integers(2)))
    angle = np.deg2rad(rng.uniform(-20, 20))
    scale = 1 / rng.uniform(0.88, 1.08)
    cos = scale * np.cos(angle)
    sin = scale * np.sin(angle)
    x, y = canvas.BIG * (0.5 + rng.uniform(-0.06, 0.06, 2))
    inverse = (cos, sin, WIDTH / 2 - cos * x - sin * y, -sin, cos, HEIGHT / 2 + sin * x - cos * y)
    thrown = card.transform(table.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
    table.paste(thrown, (0, 0), thrown)
    return geometry.grainy(rng, table, 7)


DATASETS = (
    PocketDataset(
        name="pocket_cards",
        role="adaptation",
        domain="playing card",
        classes=tuple(f"{rank} of {suit}" for rank, suit in CARDS),
        templates=("a photo of the {}", "the playing card {}", "a card game with the {}"),
        draw=draw_card,
    ),
)
