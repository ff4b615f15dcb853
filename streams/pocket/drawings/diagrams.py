"""Line figures: clock faces, plane curves and seven-segment digits."""

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.generator import PocketDataset
from streams.pocket.drawings.geometry import Points, beam, ellipse, moved, polygon

HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TICKS = tuple(beam(0.7 * x, 0.7 * y, 0.84 * x, 0.84 * y, 0.08) for x, y in ellipse(0, 0, 1, start=-90, stop=270, n=12))


def _hand(hour: float, length: float, width: float) -> Points:
    x = np.sin(hour * np.pi / 6)
    y = -np.cos(hour * np.pi / 6)
    return beam(-0.12 * x, -0.12 * y, length * x, length * y, width)


def draw_clock(rng: Generator, label: int) -> Image.Image:
    """A clock face at the full hour: a long thin hand upwards, a short thick one at the hour."""
    ink, face = canvas.color_pair(rng, least=230)
    rim = canvas.any_color(rng)
    wall = canvas.any_color(rng)
    image = canvas.noise(rng, wall, strength=15)
    pen = canvas.draw_on(image)
    ticks = _TICKS[:: int(rng.choice((1, 3)))]
    hands = (_hand(0, 0.78, 0.08), _hand(label + 1, 0.56, 0.26))
    parts = geometry.place_all(rng, [ellipse(0, 0, 1), ellipse(0, 0, 0.88), *ticks, *hands], 0.46, 0.04, 3)
    for part, color in zip(parts, [rim, face, *[ink] * (len(parts) - 2)], strict=True):
        pen.polygon(part, fill=color)
    return geometry.grainy(rng, image)


_T = np.linspace(0, 2 * np.pi, 61)
_LINE = np.linspace(-1, 1, 41)


def _polar(radius: np.ndarray, angle: np.ndarray = _T) -> Points:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _graph(y: np.ndarray, x: np.ndarray = _LINE) -> Points:
    return np.stack([x, -y], axis=1)


# Each curve is a list of strokes.
CURVES: dict[str, tuple[Points, ...]] = {
    "spiral": (_polar(_T / 2 / np.pi, 3 * _T),),
    "lemniscate": (np.stack([np.cos(_T), np.sin(_T) * np.cos(_T)], axis=1) / (1 + np.sin(_T[:, None]) ** 2) * 1.1,),
    "sine wave": (_graph(0.6 * np.sin(2 * np.pi * _LINE)),),
    "parabola": (_graph(2 * _LINE**2 - 1) * (0.85, 0.95),),
    "cardioid": (moved(_polar(0.5 * (1 - np.cos(_T))), 0.55, 0),),
    "trifolium": (_polar(np.cos(3 * _T / 2), _T / 2),),
    "astroid": (np.stack([np.cos(_T) ** 3, np.sin(_T) ** 3], axis=1),),
    "hyperbola": tuple(
        np.stack([side * 0.3 * np.cosh(1.8 * _LINE), 0.33 * np.sinh(1.8 * _LINE)], axis=1) for side in (-1, 1)
    ),
    "damped oscillation": (_graph(np.exp(-1.6 * (_LINE + 1)) * np.cos(4 * np.pi * (_LINE + 1))),),
    "epicycloid": (np.stack([6 * np.cos(_T) - np.cos(6 * _T), 6 * np.sin(_T) - np.sin(6 * _T)], axis=1) / 7,),
}
_CURVES = tuple(CURVES.values())


def draw_curve(rng: Generator, label: int) -> Image.Image:
    """A curve in chalk or ink, a little stretched and turned."""
    ink, ground = canvas.color_pair(rng)
    image = canvas.noise(rng, ground, strength=18)
    pen = canvas.draw_on(image)
    stretch = rng.uniform(0.8, 1, 2)
    width = int(rng.integers(5, 9))
    for stroke in geometry.place_all(rng, [stroke * stretch for stroke in _CURVES[label]], 0.42, 0.06, 20):
        pen.line(stroke, fill=ink, width=width, joint="curve")
    return geometry.grainy(rng, image)


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LIT = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
_LEVEL = polygon(-0.42, 0, -0.3, -0.12, 0.3, -0.12, 0.42, 0, 0.3, 0.12, -0.3, 0.12)
_UPRIGHT = _LEVEL[:, ::-1]
SEGMENTS = {
    "a": moved(_LEVEL, 0, -0.88),
    "b": moved(_UPRIGHT, 0.46, -0.44),
    "c": moved(_UPRIGHT, 0.46, 0.44),
    "d": moved(_LEVEL, 0, 0.88),
    "e": moved(_UPRIGHT, -0.46, 0.44),
    "f": moved(_UPRIGHT, -0.46, -0.44),
    "g": _LEVEL,
}
_LAMPS = ("red", "green", "orange", "cyan", "yellow", "white", "pink")


def draw_digit(rng: Generator, label: int) -> Image.Image:
    """Glowing segments on a dark panel, or dark ones on a bright panel; those that are off show faintly."""
    on = canvas.jitter(rng, canvas.COLORS[_LAMPS[rng.integers(len(_LAMPS))]])
    panel = canvas.jitter(rng, (28, 28, 30))
    if rng.uniform() < 0.4:
        on = panel
        panel = canvas.jitter(rng, (165, 185, 150), 35)
    ghost = rng.uniform(0.02, 0.2)
    red, green, blue = (int(ghost * a + (1 - ghost) * b) for a, b in zip(on, panel, strict=True))
    slant = np.array([[1, 0], [rng.uniform(-0.25, 0.05), 1]])
    image = canvas.noise(rng, panel, strength=8)
    pen = canvas.draw_on(image)
    parts = [segment @ slant for segment in SEGMENTS.values()]
    for name, part in zip(SEGMENTS, geometry.place_all(rng, parts, 0.4, 0.1, 8), strict=True):
        pen.polygon(part, fill=on if name in LIT[label] else (red, green, blue))
    return geometry.grainy(rng, image)


DATASETS = (
    PocketDataset(
        name="pocket_clocks",
        role="adaptation",
        domain="clock face",
        classes=tuple(f"{hour} o'clock" for hour in HOURS),
        templates=("a clock showing {}", "the hands stand at {}", "it is {}"),
        draw=draw_clock,
    ),
    PocketDataset(
        name="pocket_curves",
        role="adaptation",
        domain="diagram",
        classes=tuple(CURVES),
        templates=("a plot of the curve called {}", "the graph of a {}", "a {} drawn in a notebook"),
        draw=draw_curve,
    ),
    PocketDataset(
        name="pocket_segments",
        role="adaptation",
        domain="display",
        classes=DIGITS,
        templates=("segments showing {}", "a display that reads {}", "{} on a pocket calculator"),
        draw=draw_digit,
    ),
)
