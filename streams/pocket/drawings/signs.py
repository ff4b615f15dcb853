"""Twelve road signs before blurred roadsides."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.generator import PocketDataset
from streams.pocket.drawings.geometry import Points, band, beam, box, ellipse, moved, polygon

PAINTS: dict[str, canvas.Color] = {
    "red": (200, 20, 30),
    "white": (240, 240, 240),
    "blue": (10, 70, 170),
    "yellow": (250, 200, 20),
    "black": (20, 20, 20),
}
ROADSIDES: tuple[canvas.Color, ...] = ((70, 120, 50), (140, 170, 205), (120, 105, 85), (95, 100, 105), (45, 75, 40))

Layer = tuple[str, Points]


@dataclass(frozen=True)
class Sign:
    """Painted layers, later ones on top, and words of which one is written in the middle."""

    layers: tuple[Layer, ...]
    words: tuple[str, ...] = ()
    paint: str = "black"
    height: float = 0.8


def _disc(paint: str, radius: float = 0.95) -> Layer:
    return paint, ellipse(0, 0, radius)


def _square(paint: str, half: float) -> Layer:
    return paint, box(-half, -half, half, half)


def _arrow(x: float, y: float, dx: float, dy: float) -> tuple[Layer, ...]:
    """A white arrow from (x, y) along (dx, dy)."""
    tip = np.array([x + dx, y + dy])
    across = np.array([-dy, dx])
    neck = tip - 0.42 * np.array([dx, dy])
    head = np.stack([tip, neck + 0.36 * across, neck - 0.36 * across])
    return ("white", beam(x, y, float(neck[0]), float(neck[1]), 0.3)), ("white", head)


def _round_arrows() -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for start in (20, 140, 260):
        turn = np.deg2rad(start + 70)
        along = np.array([-np.sin(turn), np.cos(turn)])
        out = np.array([np.cos(turn), np.sin(turn)])
        head = np.stack([0.55 * out + 0.45 * along, 0.9 * out, 0.2 * out])
        layers += [("white", band(0, 0, 0.66, 0.44, start, start + 70)), ("white", head)]
    return tuple(layers)


_OCTAGON = ellipse(0, 0, 1, start=22.5, stop=382.5, n=8)
_DOWN = polygon(-1, -0.8, 1, -0.8, 0, 0.95)
_UP = polygon(-1, 0.8, 1, 0.8, 0, -0.95)

_RHOMBUS = ellipse(0, 0, 1, n=4)
_WALKER: tuple[Layer, ...] = (
    ("black", ellipse(0.02, -0.2, 0.12, n=10)),
    ("black", beam(0, -0.1, -0.05, 0.3, 0.2)),
    ("black", beam(-0.05, 0.25, -0.28, 0.68, 0.12)),
    ("black", beam(-0.05, 0.25, 0.22, 0.68, 0.12)),
)

SIGNS = {
    "stop": Sign((("white", _OCTAGON), ("red", _OCTAGON * 0.93)), ("STOP",), "white", 0.56),
    "give way": Sign((("red", _DOWN), ("white", moved(_DOWN * 0.58, 0, -0.04)))),
    "no entry": Sign((_disc("red"), ("white", box(-0.68, -0.18, 0.68, 0.2)))),
    "speed limit": Sign((_disc("red"), _disc("white", 0.7)), ("30", "50", "60", "80"), "black", 0.85),
    "priority road": Sign(
        tuple(zip(("white", "black", "white", "yellow"), (_RHOMBUS * r for r in (1, 0.9, 0.85, 0.62)), strict=True))
    ),
    "danger": Sign(
        (
            ("red", _UP),
            ("white", moved(_UP * 0.62, 0, 0.06)),
            ("black", polygon(-0.12, -0.25, 0.12, -0.25, 0.06, 0.32, -0.06, 0.32)),
            ("black", ellipse(0, 0.5, 0.1, n=8)),
        )
    ),
    "pedestrian crossing": Sign(
        (_square("blue", 0.9), ("white", polygon(-0.8, 0.75, 0.8, 0.75, 0, -0.8)), *_WALKER),
    ),
    "dead end": Sign(
        (
            _square("white", 0.9),
            _square("blue", 0.83),
            ("white", box(-0.16, -0.3, 0.16, 0.83)),
            ("white", box(-0.58, -0.62, 0.58, -0.14)),
            ("red", box(-0.52, -0.56, 0.52, -0.2)),
        )
    ),
    "keep right": Sign((_disc("white"), _disc("blue", 0.89), *_arrow(-0.48, -0.48, 1.02, 1.02))),
    "parking": Sign((_square("white", 0.9), _square("blue", 0.83)), ("P",), "white", 1.35),
    "no parking": Sign((_disc("red"), _disc("blue", 0.7), ("red", beam(-0.6, -0.6, 0.6, 0.6, 0.25)))),
    "roundabout": Sign((_disc("white"), _disc("blue", 0.89), *_round_arrows())),
}
_SIGNS = tuple(SIGNS.values())
_AXIS = polygon(0, 0, 1, 0)
_POLE = box(-0.08, 0, 0.08, 3)


def _write(rng: Generator, image: Image.Image, sign: Sign, axis: geometry.Pixels, light: float) -> None:
    (x, y), (right, below) = axis
    size = int(np.hypot(right - x, below - y) * sign.height)
    word = sign.words[rng.integers(len(sign.words))]
    face = canvas.font("DejaVuSans-Bold.ttf", size)
    canvas.draw_on(image).text((x, y), word, fill=_lit(sign.paint, light), font=face, anchor="mm")


def _lit(paint: str, light: float) -> canvas.Color:
    red, green, blue = (int(channel * light) for channel in PAINTS[paint])
    return red, green, blue


def draw_sign(rng: Generator, label: int) -> Image.Image:
    """A sign on its pole, in more or less light."""
    sign = _SIGNS[label]
    light = float(rng.uniform(0.5, 1.0))
    image = canvas.noise(rng, ROADSIDES[rng.integers(len(ROADSIDES))], cells=int(rng.integers(3, 9)))
    pen = canvas.draw_on(image)
    outlines = [_AXIS, _POLE, *(part for _, part in sign.layers)]
    axis, pole, *layers = geometry.place_all(rng, outlines, rng.uniform(0.28, 0.41), 0.1, 15)
    pen.polygon(pole, fill=canvas.jitter(rng, (130, 130, 130), 25))
    for (paint, _), layer in zip(sign.layers, layers, strict=True):
        pen.polygon(layer, fill=_lit(paint, light))
    if sign.words:
        _write(rng, image, sign, axis, light)
    return geometry.grainy(rng, image)


DATASETS = (
    PocketDataset(
        name="pocket_signs",
        role="adaptation",
        domain="roadside photo",
        classes=tuple(SIGNS),
        templates=("a photo of a {} road sign", "a traffic sign meaning {}", "the road sign for {}"),
        draw=draw_sign,
    ),
)
