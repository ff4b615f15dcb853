"""What a value is that was read from a file. True and false are no numbers here, although Python says so."""

from typing import Any, TypeGuard


def is_number(value: Any) -> bool:
    """Whether it is a finite number from 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def is_count(value: Any) -> bool:
    """Whether it is an integer from 0."""
    return type(value) is int and value >= 0


def is_strings(value: Any) -> TypeGuard[list[str]]:
    """Whether it is a list of strings."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
