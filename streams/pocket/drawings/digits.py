"""Digits: the real handwritten ones of scikit-learn, and drawn ones that resemble them from afar.

The real images have 8 by 8 pixels. The pool never shows one of them; its printed and stroked digits
go through the same low resolution, so that what is learned on them carries over.
"""

from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from fomo.rng import fold
from streams.pocket.drawings.canvas import BIG, SIZE, draw_on, font

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLIT_SIZES = {"test": 130, "validation": 30}
"""Images of each class; the rest, fourteen and more, is ``train``."""

_LOW = 8
_Path = tuple[tuple[float, float], ...]

# Control points of pen strokes, x to the right and y down, in the unit square; several habits per digit.
_ZERO: _Path = (
    (0.5, 0.0), (0.1, 0.2), (0.02, 0.55), (0.2, 0.93), (0.5, 1.0), (0.85, 0.85), (0.98, 0.5), (0.85, 0.12), (0.5, 0.0)
)  # fmt: skip
_EIGHT: _Path = (
    (0.75, 0.1), (0.4, 0.0), (0.12, 0.2), (0.4, 0.46), (0.8, 0.7), (0.75, 0.95), (0.4, 1.0), (0.15, 0.85),
    (0.3, 0.6), (0.7, 0.4), (0.88, 0.18), (0.75, 0.1),
)  # fmt: skip
_STROKES: tuple[tuple[tuple[_Path, ...], ...], ...] = (
    ((_ZERO,),),
    (
        (((0.5, 0.0), (0.5, 0.5), (0.5, 1.0)),),
        (((0.15, 0.3), (0.5, 0.0), (0.52, 0.5), (0.5, 1.0)),),
        (((0.2, 0.25), (0.55, 0.0), (0.55, 0.5), (0.55, 1.0)), ((0.2, 1.0), (0.55, 1.0), (0.9, 1.0))),
    ),
    (
        (((0.05, 0.2), (0.4, 0.0), (0.8, 0.15), (0.75, 0.45), (0.4, 0.75), (0.05, 1.0)), ((0.05, 1.0), (1.0, 0.97))),
        (
            (
                (0.1, 0.2), (0.5, 0.0), (0.85, 0.2), (0.65, 0.6), (0.25, 0.95), (0.05, 0.85), (0.3, 0.75),
                (0.6, 0.95), (1.0, 0.9),
            ),
        ),
        (((0.1, 0.2), (0.35, 0.0), (0.6, 0.15), (0.55, 0.5), (0.3, 0.92)), ((0.1, 0.98), (1.0, 0.93))),
    ),
    (
        (
            (
                (0.08, 0.12), (0.45, 0.0), (0.85, 0.18), (0.7, 0.42), (0.4, 0.48), (0.8, 0.58), (0.92, 0.8),
                (0.5, 1.0), (0.05, 0.9),
            ),
        ),
        (((0.05, 0.03), (0.85, 0.03), (0.45, 0.42), (0.85, 0.58), (0.85, 0.88), (0.45, 1.0), (0.05, 0.9)),),
    ),
    (
        (((0.5, 0.0), (0.25, 0.3), (0.0, 0.65)), ((0.0, 0.65), (1.0, 0.62)), ((0.68, 0.35), (0.65, 1.0))),
        (((0.1, 0.0), (0.05, 0.3), (0.1, 0.52), (0.85, 0.5)), ((0.85, 0.05), (0.8, 0.5), (0.75, 1.0))),
        (((0.55, 0.0), (0.2, 0.35), (0.0, 0.65)), ((0.0, 0.65), (0.95, 0.6)), ((0.85, 0.25), (0.65, 0.6), (0.45, 1.0))),
        (((0.75, 1.0), (0.75, 0.0)), ((0.75, 0.0), (0.02, 0.65)), ((0.02, 0.65), (1.0, 0.65))),
    ),
    (
        (
            ((0.95, 0.03), (0.2, 0.03)),
            ((0.2, 0.03), (0.12, 0.45)),
            ((0.12, 0.45), (0.5, 0.36), (0.88, 0.55), (0.85, 0.85), (0.45, 1.0), (0.05, 0.9)),
        ),
        (((0.9, 0.0), (0.3, 0.08), (0.15, 0.4), (0.6, 0.45), (0.85, 0.7), (0.6, 0.97), (0.05, 0.97)),),
    ),
    (
        (
            (
                (0.7, 0.0), (0.3, 0.2), (0.05, 0.6), (0.2, 0.95), (0.6, 1.0), (0.92, 0.8), (0.75, 0.55), (0.4, 0.55),
                (0.12, 0.75),
            ),
        ),
        (((0.3, 0.0), (0.1, 0.4), (0.1, 0.8), (0.45, 1.0), (0.85, 0.88), (0.8, 0.6), (0.4, 0.55), (0.12, 0.8)),),
    ),
    (
        (((0.0, 0.05), (0.95, 0.05)), ((0.95, 0.05), (0.65, 0.45), (0.45, 1.0))),
        (
            ((0.0, 0.25), (0.15, 0.02), (0.5, 0.1), (0.9, 0.02)),
            ((0.9, 0.02), (0.65, 0.45), (0.35, 1.0)),
            ((0.15, 0.55), (0.95, 0.45)),
        ),
        (((0.05, 0.05), (0.95, 0.05)), ((0.95, 0.05), (0.6, 0.5), (0.4, 1.0)), ((0.2, 0.5), (0.95, 0.48))),
        (((0.0, 0.2), (0.1, 0.05), (0.9, 0.05), (0.75, 0.5), (0.5, 1.0)), ((0.3, 0.55), (0.95, 0.5))),
    ),
    ((_EIGHT,), (tuple((x, y) for x, y in reversed(_EIGHT)),)),
    (
        (
            (
                (0.85, 0.15), (0.5, 0.0), (0.12, 0.2), (0.25, 0.48), (0.6, 0.45), (0.87, 0.15), (0.85, 0.55),
                (0.75, 1.0),
            ),
        ),
        (
            (
                (0.85, 0.2), (0.5, 0.0), (0.12, 0.2), (0.25, 0.48), (0.65, 0.45), (0.87, 0.15), (0.9, 0.6),
                (0.65, 0.97), (0.15, 0.97),
            ),
        ),
        (
            (
                (0.8, 0.08), (0.4, 0.0), (0.1, 0.18), (0.3, 0.42), (0.65, 0.36), (0.85, 0.1), (0.88, 0.5),
                (0.85, 0.85), (0.5, 1.0), (0.1, 0.9),
            ),
        ),
    ),
)  # fmt: skip


def _smooth(points: NDArray[np.float64], steps: int = 5) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through ``points`` [n, 2]."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, steps + 1)[None, :, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


def _written(rng: Generator, path: _Path, habit: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    """``path`` as a hand of a ``habit`` (slant, breadth, taper, waist) draws it: points in pixels of the big canvas."""
    slant, breadth, taper, waist = habit
    points = np.array(path) + rng.normal(0, 0.045, (len(path), 2))
    y = np.clip(points[:, 1], 0, 1) ** waist
    x = (points[:, 0] - 0.5) * breadth * (1 + taper * (y - 0.5)) - slant * (y - 0.5) + 0.5
    return _smooth(np.stack([x, y], axis=1) * BIG * 0.7 + BIG * 0.15)


def stroked(rng: Generator, digit: int) -> Image.Image:
    """A big mask of ``digit`` as a pen might write it: shaky points, slant, narrow or wide, large head or belly."""
    layer = Image.new("L", (BIG, BIG), 0)
    # In the frame a one is as wide as its pen alone, and the real ones are often bold.
    pen = draw_on(layer)
    width = int(rng.integers(8, 24 if digit == 1 else 16))
    habit = (rng.normal(0.08, 0.16), rng.uniform(0.4, 0.8), rng.uniform(-0.7, 0.7), rng.uniform(0.75, 1.35))
    variants = _STROKES[digit]
    for path in variants[rng.integers(len(variants))]:
        pen.line(_written(rng, path, habit), fill=255, width=width, joint="curve")
    return layer


def printed(rng: Generator, digit: int, font_name: str) -> Image.Image:
    """A big mask of ``digit`` in a font, slanted and stretched."""
    layer = Image.new("L", (BIG, BIG), 0)
    bold = int(rng.integers(0, 4))
    pen = draw_on(layer)
    pen.text((BIG / 2, BIG / 2), str(digit), fill=255, font=font(font_name, 66), anchor="mm", stroke_width=bold)
    slant = rng.normal(0.05, 0.15)
    tilt = rng.normal(0, 0.08)
    centre = BIG / 2
    shear = (1, slant, -slant * centre, tilt, 1, -tilt * centre)
    return layer.transform((BIG, BIG), Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR)


def low_resolution(rng: Generator, mask: Image.Image) -> Image.Image:
    """``mask`` as the handwritten set shows it: as high as the frame, 8 by 8 grey levels, light on dark."""
    left, top, right, bottom = mask.getbbox() or (0, 0, BIG, BIG)
    width = int(np.clip(SIZE * (right - left) / (bottom - top) * rng.uniform(0.75, 1.2), 7, 26))
    frame = Image.new("L", (SIZE, SIZE), 0)
    offset = (SIZE - width) // 2 + int(rng.integers(-2, 3))
    frame.paste(mask.resize((width, SIZE), Image.Resampling.BOX, (left, top, right, bottom)), (offset, 0))
    levels = np.asarray(frame.reduce(SIZE // _LOW), dtype=np.float32) / 255
    return enlarge(np.clip(levels * rng.uniform(1.0, 1.5), 0, 1))


def enlarge(levels: NDArray[np.float32]) -> Image.Image:
    """[8, 8] in [0, 1] as a soft 32-pixel RGB image."""
    grey = Image.fromarray((20 + 230 * levels).astype(np.uint8))
    return grey.resize((SIZE, SIZE), Image.Resampling.BICUBIC).convert("RGB")


@cache
def _handwritten() -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """The real images [n, 8, 8] in [0, 1] and their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images / 16).astype(np.float32), tuple(int(label) for label in bunch.target)


@cache
def _members(split: str) -> tuple[int, ...]:
    """Indices of the real images in ``split``: each class is put in the order of a hash and cut."""
    if split not in (allowed := (*SPLIT_SIZES, "train")):
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(sorted(allowed))}")
    test = SPLIT_SIZES["test"]
    held_out = sum(SPLIT_SIZES.values())
    cut = {"test": slice(test), "validation": slice(test, held_out), "train": slice(held_out, None)}[split]
    labels = _handwritten()[1]
    chosen: list[int] = []
    for digit in range(len(DIGITS)):
        of_class = [index for index, label in enumerate(labels) if label == digit]
        chosen += sorted(of_class, key=lambda index: fold("pocket_digits", index))[cut]
    return tuple(chosen)


def digits_split(split: str) -> tuple[list[Image.Image], list[int]]:
    """The real digits of ``train``, ``validation`` or ``test``, as 32-pixel RGB images, and their labels."""
    images, labels = _handwritten()
    members = _members(split)
    return [enlarge(images[index]) for index in members], [labels[index] for index in members]


def draw_handwritten(rng: Generator, label: int) -> Image.Image:
    """One real digit of the ``train`` split; validation and test come from ``digits_split`` alone."""
    images, labels = _handwritten()
    members = [index for index in _members("train") if labels[index] == label]
    return enlarge(images[members[rng.integers(len(members))]])
