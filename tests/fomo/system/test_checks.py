"""What a value is that was read from a file."""

from typing import Any

import pytest

from fomo.system.checks import is_count, is_number, is_strings


@pytest.mark.parametrize(
    ("value", "number", "count"),
    [
        (0, True, True),
        (3, True, True),
        (0.5, True, False),
        (3.0, True, False),
        (-1, False, False),
        (True, False, False),
        (float("nan"), False, False),
        (float("inf"), False, False),
        ("3", False, False),
        (None, False, False),
    ],
)
def test_numbers_are_finite_and_from_zero(value: Any, number: bool, count: bool) -> None:
    assert (is_number(value), is_count(value)) == (number, count)


def test_lists_of_strings_are_told_from_strings_and_other_lists() -> None:
    assert is_strings([]) and is_strings(["a", ""])
    assert not any(map(is_strings, ["ab", ("a",), ["a", 1], {"a": 1}, None]))
