"""Kinds of plain value, as checks of files of others ask for them."""

from typing import Any


def is_number(value: Any) -> bool:
    """Whether a value is a finite number from 0, and neither true nor false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def is_count(value: Any) -> bool:
    """Whether a value is an integer from 0."""
    return type(value) is int and value >= 0


def is_strings(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
