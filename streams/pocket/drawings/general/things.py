"""Things: outlines in one paint, filled or as lines, before a quiet ground of another."""

from numpy.random import Generator
from PIL import Image

from streams.pocket.drawings import canvas, geometry
from streams.pocket.drawings.general.paints import paint_pair
from streams.pocket.drawings.generator import Picture, PoolFamily
from streams.pocket.drawings.geometry import band, beam, box, ellipse, polygon
from streams.pocket.drawings.objects import Outline

THINGS = {
    "ladder": Outline(
        (
            box(-0.5, -1, -0.32, 1),
            box(0.32, -1, 0.5, 1),
            *(box(-0.4, y, 0.4, y + 0.14) for y in (-0.7, -0.2, 0.3, 0.75)),
        )
    ),
    "table": Outline((box(-1, -0.4, 1, -0.15), box(-0.8, -0.2, -0.6, 0.9), box(0.6, -0.2, 0.8, 0.9))),
    "chair": Outline((box(-0.55, -1, -0.35, 1), box(-0.5, 0, 0.55, 0.2), box(0.38, 0.1, 0.55, 1))),
    "lamp": Outline(
        (
            polygon(-0.35, -0.95, 0.35, -0.95, 0.7, -0.2, -0.7, -0.2),
            beam(0, -0.2, 0, 0.85, 0.14),
            ellipse(0, 0.9, 0.5, 0.14),
        )
    ),
    "bridge": Outline(
        (box(-1, -0.2, 1, 0.05), box(-0.75, 0, -0.55, 0.8), box(0.55, 0, 0.75, 0.8), band(0, 0.1, 0.95, 0.78, 180, 360))
    ),
    "tent": Outline((polygon(0, -0.85, 1, 0.8, -1, 0.8),), (polygon(0, -0.1, 0.3, 0.8, -0.3, 0.8),)),
    "rocket": Outline(
        (
            ellipse(0, -0.1, 0.33, 0.9),
            polygon(-0.25, 0.2, -0.7, 0.9, -0.15, 0.7),
            polygon(0.25, 0.2, 0.7, 0.9, 0.15, 0.7),
        ),
        (ellipse(0, -0.3, 0.14, n=12),),
    ),
    "apple": Outline(
        (ellipse(-0.25, 0.15, 0.55, 0.7), ellipse(0.25, 0.15, 0.55, 0.7), beam(0, -0.4, 0.15, -0.95, 0.14))
    ),
    "cactus": Outline(
        (
            box(-0.2, -0.9, 0.2, 1),
            box(-0.75, -0.3, -0.5, 0.3),
            box(-0.7, 0.1, 0, 0.35),
            box(0.5, -0.6, 0.75, 0.1),
            box(0, -0.1, 0.7, 0.15),
        )
    ),
    "fork": Outline(
        (
            *(box(x, -1, x + 0.16, -0.2) for x in (-0.4, -0.08, 0.24)),
            box(-0.4, -0.35, 0.4, -0.1),
            box(-0.11, -0.2, 0.11, 1),
        )
    ),
    "hammer": Outline((box(-0.7, -0.9, 0.7, -0.4), box(-0.12, -0.5, 0.12, 1))),
    "candle": Outline((box(-0.25, -0.3, 0.25, 0.8), ellipse(0, -0.65, 0.15, 0.32), box(-0.6, 0.75, 0.6, 0.95))),
    "balloon": Outline(
        (ellipse(0, -0.35, 0.58, 0.62), polygon(0, 0.2, 0.15, 0.42, -0.15, 0.42), beam(0, 0.4, 0.12, 1, 0.08))
    ),
    "glasses": Outline(
        (ellipse(-0.5, 0, 0.46), ellipse(0.5, 0, 0.46), box(-0.15, -0.12, 0.15, 0.06)),
        (ellipse(-0.5, 0, 0.3), ellipse(0.5, 0, 0.3)),
    ),
    "top hat": Outline((box(-0.5, -0.8, 0.5, 0.5), ellipse(0, 0.55, 1, 0.2))),
    "book": Outline((polygon(-1, -0.6, 0, -0.4, 1, -0.6, 1, 0.6, 0, 0.8, -1, 0.6),), (beam(0, -0.35, 0, 0.75, 0.08),)),
    "train": Outline(
        (
            box(-0.9, -0.5, 0.9, 0.45),
            ellipse(-0.55, 0.5, 0.24, n=14),
            ellipse(0, 0.5, 0.24, n=14),
            ellipse(0.55, 0.5, 0.24, n=14),
            box(0.45, -0.9, 0.7, -0.4),
        ),
        (box(-0.7, -0.3, -0.3, 0.05), box(-0.15, -0.3, 0.25, 0.05)),
    ),
    "kite": Outline((polygon(0, -1, 0.55, -0.3, 0, 0.5, -0.55, -0.3), beam(0, 0.45, 0.3, 1, 0.1))),
    "butterfly": Outline(
        (
            ellipse(-0.48, -0.35, 0.45, 0.5),
            ellipse(0.48, -0.35, 0.45, 0.5),
            ellipse(-0.38, 0.45, 0.32, 0.38),
            ellipse(0.38, 0.45, 0.32, 0.38),
            ellipse(0, 0, 0.1, 0.75),
        )
    ),
    "cat": Outline(
        (
            ellipse(0, 0.15, 0.75, 0.65),
            polygon(-0.75, -0.9, -0.15, -0.4, -0.7, 0.1),
            polygon(0.75, -0.9, 0.15, -0.4, 0.7, 0.1),
        ),
        (ellipse(-0.28, 0.05, 0.12, n=10), ellipse(0.28, 0.05, 0.12, n=10)),
    ),
    "rabbit": Outline(
        (ellipse(0, 0.4, 0.5, 0.55), ellipse(-0.25, -0.5, 0.16, 0.5), ellipse(0.25, -0.5, 0.16, 0.5)),
        (ellipse(-0.18, 0.3, 0.09, n=10), ellipse(0.18, 0.3, 0.09, n=10)),
    ),
    "robot": Outline(
        (box(-0.5, -0.6, 0.5, 0.1), box(-0.65, 0.2, 0.65, 1), beam(0, -0.6, 0, -1, 0.1), box(-0.2, 0, 0.2, 0.3)),
        (box(-0.32, -0.4, -0.1, -0.18), box(0.1, -0.4, 0.32, -0.18)),
    ),
    "ghost": Outline(
        (
            ellipse(0, -0.25, 0.65, 0.7),
            polygon(-0.65, -0.25, 0.65, -0.25, 0.65, 0.95, 0.33, 0.65, 0, 0.95, -0.33, 0.65, -0.65, 0.95),
        ),
        (ellipse(-0.25, -0.3, 0.13, n=10), ellipse(0.25, -0.3, 0.13, n=10)),
    ),
    "windmill": Outline(
        (
            polygon(-0.25, 0, 0.25, 0, 0.4, 1, -0.4, 1),
            beam(-0.75, -0.75, 0.75, 0.6, 0.2),
            beam(0.75, -0.75, -0.75, 0.6, 0.2),
        )
    ),
    "bicycle": Outline(
        (
            ellipse(-0.55, 0.3, 0.45),
            ellipse(0.55, 0.3, 0.45),
            beam(-0.5, 0.3, 0, -0.4, 0.1),
            beam(0, -0.4, 0.55, 0.3, 0.1),
            beam(0.2, -0.6, 0.55, 0.3, 0.1),
        ),
        (ellipse(-0.55, 0.3, 0.3), ellipse(0.55, 0.3, 0.3)),
    ),
    "tulip": Outline(
        (
            polygon(-0.45, -0.9, -0.2, -0.55, 0, -0.95, 0.2, -0.55, 0.45, -0.9, 0.4, -0.2, 0, 0, -0.4, -0.2),
            box(-0.07, -0.1, 0.07, 1),
            ellipse(0.3, 0.5, 0.3, 0.14),
        ),
    ),
    "ladle": Outline((ellipse(-0.4, 0.5, 0.5, 0.45, 0, 180), beam(-0.05, 0.6, 0.6, -0.95, 0.16))),
    "tower": Outline(
        (box(-0.4, -0.5, 0.4, 1), *(box(x, -0.95, x + 0.22, -0.45) for x in (-0.55, -0.11, 0.33))),
        (box(-0.12, 0.5, 0.12, 1),),
    ),
}
_OUTLINES = tuple(THINGS.values())


def draw_thing(rng: Generator, label: int) -> Picture:
    """A thing in one paint; a third of them as lines, of which only the holes and the edges are seen."""
    ink, ground = paint_pair(rng)
    image = canvas.noise(rng, ground.color, int(rng.integers(2, 8)), rng.uniform(0, 28))
    lines = bool(rng.random() < 0.33)
    mask = _mask(rng, _OUTLINES[label], lines)
    image.paste(ink.color, (0, 0), mask)
    words = (ink.name, f"{ground.name} background", *(("outline",) if lines else ()))
    return Picture(geometry.grainy(rng, image, rng.uniform(0, 9)), words)


def _mask(rng: Generator, outline: Outline, lines: bool) -> Image.Image:
    """255 where there is ink, on the big canvas."""
    mask = Image.new("L", (canvas.BIG, canvas.BIG), 0)
    pen = canvas.draw_on(mask)
    parts = geometry.place_all(rng, (*outline.solid, *outline.holes), rng.uniform(0.28, 0.42), 0.08, 20)
    solid = parts[: len(outline.solid)]
    for part in solid:
        pen.polygon(part, fill=255, outline=255)
        if lines:
            pen.line([*part, part[0]], fill=255, width=7, joint="curve")
    for part in (*(solid if lines else ()), *parts[len(outline.solid) :]):
        pen.polygon(part, fill=0)
    return mask


FAMILIES = (PoolFamily("things", tuple(THINGS), ("a {}", "a drawing of a {}", "my new {}", "the old {}"), draw_thing),)
