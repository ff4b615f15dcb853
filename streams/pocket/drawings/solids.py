"""Eight shaded solids, in closed form: a convex body is an intersection of half-spaces.

A ray along the viewing axis enters the body at the last of the planes that face the viewer and leaves it at
the first of those that look away; it hits the body if it enters before it leaves. Round bodies are given by
many tangent planes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.generator import PocketDataset

RAYS = 40
LIGHT = np.array([-0.5, 0.65, 0.57])


@dataclass(frozen=True)
class Body:
    """All points p with ``normals @ p <= offsets``; normals [n, 3] of length one, z up."""

    normals: np.ndarray
    offsets: np.ndarray


def _around(sides: int, tilt: float = 0.0) -> np.ndarray:
    """Normals around the z axis, lifted by ``tilt`` degrees."""
    angles = np.arange(sides) * 2 * np.pi / sides
    lift = np.deg2rad(tilt)
    level = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.cos(lift)
    return np.concatenate([level, np.full((sides, 1), np.sin(lift))], axis=1)


def _everywhere(n: int = 110) -> np.ndarray:
    """Normals spread evenly over all directions, on a Fibonacci spiral."""
    z = 1 - (2 * np.arange(n) + 1) / n
    angles = np.arange(n) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles), z], axis=1)


_UP = np.array([[0.0, 0.0, 1.0]])
_DOWN = np.array([[0.0, 0.0, -1.0]])


def _smooth(reach: Callable[[np.ndarray], np.ndarray]) -> Body:
    """A round body that reaches as far as ``reach`` in each direction."""
    normals = _everywhere()
    return Body(normals, reach(normals))


def _tube(sides: int, radius: float, height: float) -> Body:
    normals = np.concatenate([_around(sides), _UP, _DOWN])
    return Body(normals, np.r_[np.full(sides, radius), height, height])


def _spire(sides: int, tilt: float) -> Body:
    """Sides that meet in a point above a level base."""
    normals = np.concatenate([_around(sides, tilt), _DOWN])
    return Body(normals, np.r_[np.full(sides, 0.95 * np.sin(np.deg2rad(tilt))), 0.65])


def _octahedron() -> Body:
    normals = np.concatenate([_around(4, 35.26), _around(4, -35.26)])
    return Body(normals, np.full(8, 0.58))


def _dome() -> Body:
    normals = np.concatenate([_everywhere(), _DOWN])
    return Body(normals, np.r_[np.ones(len(normals) - 1) - 0.4 * normals[:-1, 2], 0.4])


BODIES = {
    "sphere": _smooth(lambda normals: np.full(len(normals), 0.9)),
    "cube": _tube(4, 0.62, 0.62),
    "cylinder": _tube(28, 0.55, 0.85),
    "cone": _spire(28, 28.0),
    "pyramid": _spire(4, 32.0),
    "octahedron": _octahedron(),
    "capsule": _smooth(lambda normals: 0.42 + 0.6 * np.abs(normals[:, 2])),
    "dome": _dome(),
}
_BODIES = tuple(BODIES.values())


def _view(rng: Generator) -> np.ndarray:
    """A rotation: about the upright axis, then towards the viewer, then a little to the side."""
    yaw = rng.uniform(0, 2 * np.pi)
    pitch = rng.uniform(0.2, 0.65) - np.pi / 2
    roll = rng.uniform(-0.35, 0.35)
    about_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return tilt @ about_x @ about_z


def _depths(body: Body, view: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which plane each ray enters by, int64 [n], and whether it hits the body, bool [n].

    Args:
        body: what is hit.
        view: rotation [3, 3] of the body before the viewer.
        x: position of every ray, to the right; n values of any shape.
        y: position of every ray, up; n values of any shape.
    """
    normals = (body.normals @ view.T).astype(np.float32)
    facing = normals[:, 2] > 0
    # A plane seen edge-on is crossed nowhere near the body: the floor keeps its depth finite.
    slope = np.where(facing, 1, -1) * np.maximum(np.abs(normals[:, 2]), 1e-3).astype(np.float32)
    planes = np.stack([-normals[:, 0], -normals[:, 1], body.offsets.astype(np.float32)]) / slope
    depth = np.stack([x.ravel(), y.ravel(), np.ones(x.size, np.float32)], axis=1) @ planes
    front = depth[:, facing]
    entry = front.argmin(axis=1)
    hit = front[np.arange(len(front)), entry] > depth[:, ~facing].max(axis=1)
    return np.flatnonzero(facing)[entry], hit


def draw_solid(rng: Generator, label: int) -> Image.Image:
    """A solid of one colour, lit from the upper left."""
    body = _BODIES[label]
    view = _view(rng)
    color, ground = canvas.color_pair(rng, least=110)
    x, y = geometry.turned(rng, RAYS, size=0.78, shift=0.07, turn=0)
    plane, hit = _depths(body, view, x, -y)
    light = LIGHT + rng.normal(0, 0.12, 3)
    brightness = 0.3 + 0.75 * np.clip(body.normals @ view.T @ light, 0, 1)
    shaded = np.array(color, np.float32) * brightness.astype(np.float32)[plane].reshape(RAYS, RAYS, 1)
    floor = np.array(ground, np.float32) * (np.float32(0.75) + np.float32(0.25) * y[..., None])
    return geometry.grainy(rng, canvas.blend(hit.reshape(RAYS, RAYS), shaded, floor), 6)


DATASETS = (
    PocketDataset(
        name="pocket_solids",
        role="adaptation",
        domain="rendering",
        classes=tuple(BODIES),
        templates=("a rendering of a {}", "a shaded {}", "a {} in three dimensions"),
        draw=draw_solid,
    ),
)
