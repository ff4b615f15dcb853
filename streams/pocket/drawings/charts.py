"""Ten kinds of chart, of random data."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from streams.pocket.drawings import canvas
from streams.pocket.drawings.generator import PocketDataset
from streams.pocket.drawings.geometry import Points, ellipse, sector

Pen = ImageDraw.ImageDraw
Plot = Callable[[Generator, Pen, list[canvas.Color]], None]
"""``plot(rng, pen, colors)`` draws into the square from -1 to 1; ``colors`` are the axes' ink, the paper, then hues."""

HUES = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan")
MIDDLE = canvas.BIG / 2
REACH = canvas.BIG * 0.43


def _pixels(points: Points) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points * REACH + MIDDLE]


def _box(pen: Pen, left: float, top: float, right: float, bottom: float, fill: canvas.Color) -> None:
    corners = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    pen.rectangle([MIDDLE + REACH * corner for corner in corners], fill=fill)


def _axes(pen: Pen, ink: canvas.Color) -> None:
    pen.line(_pixels(np.array([[-0.95, -1], [-0.95, 0.95], [1, 0.95]])), fill=ink, width=3)


def _walk(rng: Generator, n: int) -> Points:
    """A random walk from left to right [n, 2]."""
    height = np.cumsum(rng.normal(0, 1, n))
    height = (height - height.min()) / (np.ptp(height) + 1e-6)
    return np.stack([np.linspace(-0.85, 0.95, n), 0.7 - 1.5 * height], axis=1)


def bars(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """Upright bars of one colour or of several."""
    _axes(pen, colors[0])
    n = int(rng.integers(3, 7))
    several = bool(rng.integers(2))
    for i, height in enumerate(rng.uniform(0.3, 1.8, n)):
        left = -0.8 + 1.75 * i / n
        _box(pen, left, 0.88 - height, left + 1.2 / n, 0.88, colors[2 + several * i % 6])


def pie(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """Slices of a whole."""
    n = int(rng.integers(3, 7))
    edges = np.r_[0, np.cumsum(rng.dirichlet(np.full(n, 4.0)))] * 360 + rng.uniform(0, 360)
    for i in range(n):
        pen.polygon(_pixels(sector(0, 0, 0.95, edges[i], edges[i + 1])), fill=colors[2 + i])


def donut(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """Slices of a whole around a hole."""
    pie(rng, pen, colors)
    pen.polygon(_pixels(ellipse(0, 0, rng.uniform(0.45, 0.6))), fill=colors[1])


def lines(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """One or two random walks."""
    _axes(pen, colors[0])
    for i in range(int(rng.integers(1, 3))):
        pen.line(_pixels(_walk(rng, int(rng.integers(6, 12)))), fill=colors[2 + i], width=6, joint="curve")


def area(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """A random walk, filled down to the axis."""
    walk = _walk(rng, int(rng.integers(5, 12)))
    pen.polygon(_pixels(np.concatenate([walk, [[0.95, 0.9], [-0.85, 0.9]]])), fill=colors[2])
    _axes(pen, colors[0])


def scatter(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """Dots around a trend."""
    _axes(pen, colors[0])
    n = int(rng.integers(14, 26))
    slope = rng.uniform(-0.8, 0.8)
    x = rng.uniform(-0.75, 0.9, n)
    y = np.clip(slope * x + rng.normal(0, 0.35, n), -0.9, 0.8)
    for left, top in np.stack([x, y], axis=1) * REACH + MIDDLE:
        pen.ellipse((left - 4, top - 4, left + 4, top + 4), fill=colors[2])


def heat(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """A table of shades between two colours."""
    n = int(rng.integers(4, 7))
    edges = [-1 + 2 * i / n for i in range(n + 1)]
    for i, j in np.ndindex(n, n):
        shade = rng.uniform()
        red, green, blue = (int(shade * a + (1 - shade) * b) for a, b in zip(colors[2], colors[3], strict=True))
        _box(pen, edges[i], edges[j], edges[i + 1] - 0.04, edges[j + 1] - 0.04, (red, green, blue))


def radar(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """Values along spokes, joined to a polygon inside a web."""
    n = int(rng.integers(5, 8))
    rim = ellipse(0, 0, 1, start=-90, stop=270, n=n)
    pen.polygon(_pixels(rim * rng.uniform(0.35, 0.95, (n, 1))), fill=colors[2])
    for scale in (1.0, 0.55):
        pen.polygon(_pixels(rim * scale), outline=colors[0], width=2)
    for spoke in rim:
        pen.line(_pixels(np.stack([spoke, 0 * spoke])), fill=colors[0], width=2)


def boxes(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """Quartiles as boxes, with whiskers."""
    _axes(pen, colors[0])
    n = int(rng.integers(2, 5))
    for i in range(n):
        low, q1, median, q3, high = np.cumsum(rng.uniform(0.18, 0.45, 5)) - rng.uniform(0.9, 1.4)
        x = -0.85 + 1.8 * (i + 0.5) / n
        half = 0.6 / n
        _box(pen, x - 0.04, low, x + 0.04, high, colors[0])
        _box(pen, x - half, q1, x + half, q3, colors[2])
        for level in (low, median, high):
            _box(pen, x - half, level - 0.04, x + half, level + 0.04, colors[0])


def venn(rng: Generator, pen: Pen, colors: list[canvas.Color]) -> None:
    """Two sets, or three, that overlap."""
    n = int(rng.integers(2, 4))
    turn = rng.uniform(-30, 30)
    for i, (x, y) in enumerate(ellipse(0, 0, 0.4, start=turn, stop=turn + 360, n=n)):
        disc = _pixels(ellipse(x, y, 0.58))
        pen.polygon(disc, fill=(*colors[2 + i], 130))
        pen.line([*disc, disc[0]], fill=(*colors[0], 255), width=2)


CHARTS: dict[str, Plot] = {
    "bar chart": bars,
    "pie chart": pie,
    "donut chart": donut,
    "line chart": lines,
    "area chart": area,
    "scatter plot": scatter,
    "heat map": heat,
    "radar chart": radar,
    "box plot": boxes,
    "venn diagram": venn,
}
_PLOTS = tuple(CHARTS.values())


def _palette(rng: Generator) -> list[canvas.Color]:
    """Ink and paper, either of them dark, then all hues in random order."""
    ink = canvas.jitter(rng, (60, 60, 60), 40)
    paper = canvas.jitter(rng, (238, 238, 238), 16)
    if rng.uniform() < 0.25:
        ink = paper
        paper = canvas.jitter(rng, (35, 35, 40), 20)
    return [ink, paper, *(canvas.jitter(rng, canvas.COLORS[HUES[i]]) for i in rng.permutation(len(HUES)))]


def draw_chart(rng: Generator, label: int) -> Image.Image:
    """A chart as on a slide, cut out with a little more or less margin."""
    colors = _palette(rng)
    image = canvas.plain(colors[1])
    _PLOTS[label](rng, ImageDraw.Draw(image, "RGBA"), colors)
    left, top, right, bottom = rng.integers(-4, 6, 4) * (1, 1, -1, -1) + (0, 0, canvas.BIG, canvas.BIG)
    image = image.transform(
        (canvas.SIZE * 2, canvas.SIZE * 2),
        Image.Transform.EXTENT,
        (left, top, right, bottom),
        Image.Resampling.BILINEAR,
        fillcolor=colors[1],
    )
    return canvas.grain(rng, canvas.finish(image), 5)


DATASETS = (
    PocketDataset(
        name="pocket_charts",
        role="adaptation",
        domain="chart",
        classes=tuple(CHARTS),
        templates=("a {} in a report", "data shown as a {}", "a slide with a {}"),
        draw=draw_chart,
    ),
)
