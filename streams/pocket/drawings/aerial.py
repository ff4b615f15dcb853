"""Ten kinds of land from above, in any orientation.

Each painter returns layers, later ones on top: a mask, and its colour (one, or one per pixel).
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.generator import PocketDataset

Layers = list[tuple[np.ndarray, np.ndarray | canvas.Color]]
Painter = Callable[[Generator, np.ndarray, np.ndarray], Layers]

PIXELS = 64
WATER = (45, 90, 150)
ASPHALT = (95, 95, 100)
LINES = (235, 235, 230)
LEAVES = (25, 75, 30)
CARS = np.array([(200, 30, 30), (235, 235, 235), (40, 70, 190), (25, 25, 25), (150, 150, 155)], np.float32)
ROOFS = np.array([(175, 75, 50), (150, 60, 45), (120, 85, 70), (190, 105, 75)], np.float32)
GRASS: tuple[canvas.Color, ...] = ((95, 125, 65), (120, 130, 75), (80, 110, 60), (140, 130, 90))


def _cells(
    rng: Generator, u: np.ndarray, v: np.ndarray, across: float, along: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grid of cells: two positions inside the cell, from -1 to 1, and the cell's own random number, from 0 to 255.

    Args:
        rng: the image's generator.
        u: first coordinate of every pixel [64, 64].
        v: second coordinate of every pixel [64, 64].
        across: size of a cell along u.
        along: size of a cell along v.
    """
    u = u / across + np.float32(rng.uniform()) + 64
    v = v / along + np.float32(rng.uniform()) + 64
    number = rng.integers(0, 256, (16, 16))[u.astype(np.int16) % 16, v.astype(np.int16) % 16]
    return (u % 1) * 2 - 1, (v % 1) * 2 - 1, number


def river(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """A winding band of water between damp banks."""
    bend = 0.35 * np.sin(u * rng.uniform(2.2, 3.2) + rng.uniform(0, 6.3)) + 0.1 * np.sin(u * 6 + rng.uniform(0, 6.3))
    distance = np.abs(v - bend)
    width = rng.uniform(0.13, 0.24)
    return [(distance < width + 0.08, (150, 140, 95)), (distance < width, canvas.jitter(rng, WATER))]


def highway(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """Two carriageways with a green strip between them, broken lane lines and a few cars."""
    lane = np.abs(v)
    width = rng.uniform(0.34, 0.44)
    p, q, number = _cells(rng, u, v, 0.4, 0.17)
    road = (lane < width) & (lane > 0.06)
    car = road & (number < 70) & (np.abs(p) < 0.45) & (np.abs(q) < 0.5)
    dashes = (np.abs(lane - 0.22) < 0.025) & (p > 0)
    return [(road, ASPHALT), (dashes, LINES), (car, CARS[number % len(CARS)])]


def runway(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """One wide strip with a broken centre line and the bars of a threshold at one end."""
    width = rng.uniform(0.3, 0.4)
    end = rng.uniform(0.45, 0.8)
    strip = (np.abs(v) < width) & (u < end)
    centre = (np.abs(v) < 0.04) & (np.sin(u * 14) > 0) & (u < end - 0.45)
    bars = (np.abs(u - end + 0.22) < 0.14) & (np.sin(v * 38) > 0) & (np.abs(v) < width - 0.05)
    return [(strip, (75, 75, 80)), (centre | bars, LINES)]


def parking_lot(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """Cars side by side in rows, on asphalt."""
    p, q, number = _cells(rng, u, v, 0.23, 0.62)
    car = (number < 205) & (np.abs(p) < 0.62) & (np.abs(q) < 0.6)
    line = (np.abs(p) > 0.88) & (np.abs(q) < 0.7)
    return [(np.ones_like(car), canvas.jitter(rng, ASPHALT)), (line, LINES), (car, CARS[number % len(CARS)])]


def orchard(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """Round trees planted on a grid, with their shadows."""
    spacing = rng.uniform(0.34, 0.46)
    p, q, number = _cells(rng, u, v, spacing, spacing)
    radius = 0.55 + number / 1000
    shadow = np.hypot(p - 0.25, q - 0.25) < radius
    tree = np.hypot(p, q) < radius
    return [(shadow, (60, 70, 40)), (tree, canvas.jitter(rng, LEAVES))]


def suburb(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """Houses with two-toned roofs along streets."""
    p, q, number = _cells(rng, u, v, 0.5, 0.55)
    street = (np.abs(q) > 0.85) | (np.abs(p) > 0.95)
    house = (np.abs(p) < 0.5 + number / 1500) & (np.abs(q) < 0.48)
    roof = ROOFS[number % len(ROOFS)] * np.where(q > 0, np.float32(0.65), np.float32(1.1))[..., None]
    return [(street, (150, 150, 150)), (house, roof)]


def stadium(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """A pitch inside an oval running track, inside grandstands."""
    oval = np.hypot(np.maximum(np.abs(u) - 0.38, 0), v)
    pitch = (np.abs(u) < 0.42) & (np.abs(v) < 0.27)
    mown = np.where(np.sin(u * 22) > 0, np.float32(1), np.float32(0.8))[..., None] * np.array((90, 180, 70), np.float32)
    lines = pitch & ((np.abs(u) < 0.03) | (np.abs(u) > 0.38) | (np.abs(v) > 0.23))
    stands = canvas.jitter(rng, (165, 165, 170), 30)
    track = canvas.jitter(rng, (185, 85, 55))
    return [(oval < 0.75, stands), (oval < 0.54, track), (oval < 0.36, (90, 170, 70)), (pitch, mown), (lines, LINES)]


def lake(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """Water within an uneven shore."""
    angle = np.arctan2(v, u)
    radius = np.hypot(u, v * rng.uniform(1.0, 1.5))
    shore = np.float32(rng.uniform(0.55, 0.75))
    for wave in (2, 3, 5):
        shore = shore + np.float32(rng.uniform(0.03, 0.1)) * np.sin(wave * angle + np.float32(rng.uniform(0, 6.3)))
    return [(radius < shore + 0.1, (165, 155, 110)), (radius < shore, canvas.jitter(rng, WATER))]


def ploughed_field(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """Furrows of dark and bright soil, bent a little."""
    furrow = np.sin((v + 0.08 * np.sin(2 * u + rng.uniform(0, 6.3))) * rng.uniform(17, 26))
    soil = np.array(canvas.jitter(rng, (125, 90, 60)), np.float32) * (1 + np.float32(0.4) * furrow)[..., None]
    return [(np.ones_like(u, dtype=bool), soil), (v > rng.uniform(0.6, 1.3), canvas.jitter(rng, GRASS[0]))]


def solar_farm(rng: Generator, u: np.ndarray, v: np.ndarray) -> Layers:
    """Long dark panels in rows, crossed by bright seams, with a path through them."""
    p, q, _ = _cells(rng, u, v, 0.2, rng.uniform(0.38, 0.5))
    panel = (np.abs(q) < 0.62) & (np.abs(u - rng.uniform(-0.6, 0.6)) > 0.1)
    seam = panel & ((np.abs(p) > 0.78) | (np.abs(q) < 0.08))
    return [(panel, canvas.jitter(rng, (25, 40, 85), 12)), (seam, (120, 140, 175))]


LAND: dict[str, Painter] = {
    "river": river,
    "highway": highway,
    "runway": runway,
    "parking lot": parking_lot,
    "orchard": orchard,
    "suburb": suburb,
    "stadium": stadium,
    "lake": lake,
    "ploughed field": ploughed_field,
    "solar farm": solar_farm,
}
_PAINTERS = tuple(LAND.values())


def draw_land(rng: Generator, label: int) -> Image.Image:
    """A piece of land on uneven grass, in more or less light."""
    u, v = geometry.turned(rng, PIXELS, shift=0.1)
    grass = canvas.noise(rng, canvas.jitter(rng, GRASS[rng.integers(len(GRASS))]), cells=12, strength=16)
    pixels = np.asarray(grass.resize((PIXELS, PIXELS), Image.Resampling.NEAREST), np.float32)
    for where, color in _PAINTERS[label](rng, u, v):
        pixels = np.where(where[..., None], np.asarray(color, np.float32), pixels)
    pixels = np.clip(pixels * np.float32(rng.uniform(0.85, 1.3)), 0, 255)
    return geometry.grainy(rng, Image.fromarray(pixels.astype(np.uint8)), 9)


DATASETS = (
    PocketDataset(
        name="pocket_aerial",
        role="adaptation",
        domain="synthetic aerial",
        classes=tuple(LAND),
        templates=("an aerial view of a {}", "a {} seen from above", "a satellite picture of a {}"),
        draw=draw_land,
    ),
)
