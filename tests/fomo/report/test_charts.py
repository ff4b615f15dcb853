"""Line charts: round numbers on axes, points where the values are, names that stay text."""

import re

import pytest

from fomo.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, chart, legend, round_step, scale, short


@pytest.mark.parametrize(
    ("least", "step"), [(0.9, 1), (1.0, 1), (1.1, 2), (2.1, 5), (5.5, 10), (0.03, 0.05), (1e-9, 1e-9), (7e20, 1e21)]
)
def test_a_step_is_the_next_round_number(least: float, step: float) -> None:
    assert round_step(least) == pytest.approx(step)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([12.0, 61.0], (10, 20, 30, 40, 50, 60, 70)),
        ([0.0, 1e-3], (0, 2e-4, 4e-4, 6e-4, 8e-4, 1e-3)),
        ([5.0], (5, 6)),
        ([], (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([-3.0, 4.0], (-4, -2, 0, 2, 4)),
    ],
)
def test_ticks_are_round_and_hold_all_values(values: list[float], ticks: tuple[float, ...]) -> None:
    found = scale(values, 0, 100)
    assert found.ticks == pytest.approx(ticks)
    assert all(0 <= found(value) <= 100 for value in values)


def test_updates_are_counted_in_whole_numbers() -> None:
    assert scale([0, 1], 0, 100, whole=True).ticks == (0, 1)
    assert scale([0, 20], 0, 100, whole=True).ticks == (0, 5, 10, 15, 20)


@pytest.mark.parametrize("values", [[1.0, 1.0 + 2e-16], [1e30, -1e30], [0.0, 0.0], [1e-300, 2e-300], [3e29]])
def test_no_values_are_too_close_or_too_far_apart_to_draw(values: list[float]) -> None:
    found = scale(values, 0, 100)
    assert found.low < found.high and len(found.ticks) < 10
    assert all(-1 <= found(value) <= 101 for value in values)


def test_a_line_goes_through_its_points() -> None:
    drawn = chart([Line("loss", [(0, 0), (1, 10), (2, 5)])], "a title", "update", "loss", whole_x=True)
    middle = (LEFT + WIDTH - RIGHT) / 2
    places = [f"{LEFT}.0 {HEIGHT - BOTTOM}.0", f"{middle} {TOP}.0", f"{WIDTH - RIGHT}.0 {(TOP + HEIGHT - BOTTOM) / 2}"]
    assert f'd="M{"L".join(places)}"' in drawn and drawn.count("<circle") == 3
    assert 'role="img" aria-label="a title"' in drawn


def test_a_line_of_many_points_has_no_marks_and_the_ninth_is_dashed() -> None:
    drawn = chart([Line("many", [(at, at) for at in range(100)], color=8)], "t", "x", "y")
    assert "<circle" not in drawn and 'class="line c0 dashed"' in drawn


def test_names_are_text() -> None:
    name = '<script>"x"</script>'
    drawn = chart([Line(name, [(0, 1)], end=name)], name, name, name) + legend([Line(name, [])])
    assert "<script" not in drawn and drawn.count("&lt;script&gt;") == 7
    assert "NaN" not in drawn and not re.search(r'="[^"]*"x"', drawn)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (62.5, "62.5"), (1e-4, "1e-4"), (0.001, "0.001"), (250000, "2.5e5"), (-3, "-3")]
)
def test_numbers_on_axes_are_short(value: float, text: str) -> None:
    assert short(value) == text
