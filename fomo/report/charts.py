"""Line charts as SVG that takes its colours from the page: light, dark and printed, at any width, without a script."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 440
HEIGHT = 300
LEFT = 58
RIGHT = 16
TOP = 14
BOTTOM = 44
"""Units of the drawing, of which a wide screen shows about one a pixel; the last four are margins."""
NUM_COLORS = 8
"""Classes ``c0``, ``c1``, … of the page; the lines of the ninth are dashed."""
MOST_MARKS = 60
"""A line of more points is drawn without a mark at each."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Points joined in their order. ``color`` numbers it; the last point is named ``end``, if it is named.

    ``marked`` are the points that have a mark, all of them where it is ``None``.
    """

    name: str
    points: Sequence[Point]
    color: int = 0
    dashed: bool = False
    end: str = ""
    start: str = ""
    marked: Sequence[Point] | None = None


@dataclass(frozen=True)
class Scale:
    """From values to the drawing: ``low`` and ``high`` lie at ``begin`` and ``end``; ``ticks`` are round numbers."""

    low: float
    high: float
    begin: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Where a value lies, to a tenth of a unit."""
        return round(self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin), 1)


def scale(values: Iterable[float], begin: float, end: float, whole: bool = False) -> Scale:
    """The scale that fits values, from round number to round number; ``whole``: ticks are integers."""
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    largest = max(abs(low), abs(high))
    room = high - low if high - low > 1e-9 * largest else largest or 1.0
    step = round_step(room / 5)
    step = max(1.0, round(step)) if whole else step
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], begin, end, ticks)


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, … times a power of ten that is not below ``least``, which is above 0."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= least * (1 - 1e-9))


def chart(lines: Sequence[Line], title: str, x: str, y: str, whole_x: bool = False) -> Markup:
    """The lines in one pair of axes.

    Args:
        lines: What is drawn; those without points are not.
        title: What it shows, for those who do not see it.
        x: What the horizontal axis is.
        y: What the vertical axis is.
        whole_x: Whether the ticks of the horizontal axis are integers.
    """
    points = [point for line in lines for point in line.points]
    across = scale((at for at, _ in points), LEFT, WIDTH - RIGHT, whole_x)
    up = scale((value for _, value in points), HEIGHT - BOTTOM, TOP)
    body = Markup("").join([*_axes(across, up, x, y), *(_line(line, across, up) for line in lines if line.points)])
    frame = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>')
    return frame.format(WIDTH, HEIGHT, title, title, body)


def _axes(across: Scale, up: Scale, x: str, y: str) -> Iterator[Markup]:
    for tick in up.ticks:
        yield Markup('<path class="grid" d="M{} {}H{}"/>').format(LEFT, up(tick), WIDTH - RIGHT)
        yield _text(LEFT - 6, up(tick) + 4, short(tick), "end")
    for tick in across.ticks:
        yield Markup('<path class="grid" d="M{} {}V{}"/>').format(across(tick), TOP, HEIGHT - BOTTOM)
        yield _text(across(tick), HEIGHT - BOTTOM + 16, short(tick))
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x, kind="axis")
    turned = Markup('<g transform="translate(12 {}) rotate(-90)">{}</g>')
    yield turned.format((TOP + HEIGHT - BOTTOM) / 2, _text(0, 0, y, kind="axis"))


def _text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, words)


def _line(line: Line, across: Scale, up: Scale) -> Markup:
    places = [(across(at), up(value)) for at, value in line.points]
    path = "M" + "L".join(f"{at} {height}" for at, height in places)
    marked = [(across(at), up(value)) for at, value in (line.points if line.marked is None else line.marked)]
    marks = marked if len(marked) <= MOST_MARKS else ()
    dots = Markup("").join(Markup('<circle cx="{}" cy="{}" r="3"/>').format(*place) for place in marks)
    dash = " dashed" if line.dashed or line.color >= NUM_COLORS else ""
    drawn = Markup('<g class="line c{}{}"><title>{}</title><path d="{}"/>{}</g>')
    named = [_name(places[0], places[1:2], line.start), _name(places[-1], places[-2:-1], line.end)]
    return drawn.format(line.color % NUM_COLORS, dash, line.name, path, dots) + Markup("").join(named)


def _name(place: Point, neighbour: Sequence[Point], words: str) -> Markup:
    """A word beside a point, on the side where there is room, away from the ``neighbour`` that it is joined to."""
    at, height = place
    is_right = at > WIDTH - RIGHT - 60
    below = height < TOP + 14 or any(other < height for _, other in neighbour)
    beside = _text(at + (-6 if is_right else 6), height + (14 if below else -6), words, "end" if is_right else "start")
    return beside if words else Markup("")


def short(value: float) -> str:
    """A number on an axis: as few digits as tell round numbers apart."""
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, exponent = f"{value:.3g}".partition("e") if abs(value) < 1e-4 else f"{value:.2e}".partition("e")
        number = f"{float(mantissa):g}"
        return f"{number}e{int(exponent)}" if exponent else number
    return f"{round(value, 6):g}"


def legend(lines: Sequence[Line]) -> Markup:
    """The names of the lines, each beside its colour."""
    item = Markup('<li><span class="key c{}{}" aria-hidden="true"></span> <bdi>{}</bdi></li>')
    named = [(line.color % NUM_COLORS, line.dashed or line.color >= NUM_COLORS, line.name) for line in lines]
    items = (item.format(color, " dashed" if dashed else "", escape(name)) for color, dashed, name in named)
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))
