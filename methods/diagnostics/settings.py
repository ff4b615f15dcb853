"""What settings of diagnostics may be, and what they look at."""

import math
from functools import partial

import fomo
from methods.trained import trained as trained_of


def check_count(key: str, value: int, smallest: int) -> None:
    """Refuse a ``value`` of the setting ``key`` that is no integer from ``smallest`` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise fomo.FomoError(f"diagnostics.{key}={value}: allowed are integers from {smallest}.")


def check_positive(key: str, value: float) -> None:
    """Refuse a ``value`` of the setting ``key`` that is 0, negative or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise fomo.FomoError(f"diagnostics.{key}={value}: allowed are finite numbers above 0.")


trained = partial(trained_of, group="diagnostics", why="there is nothing to measure")
"""The parameters of a network that require a gradient, by name; an error if there are none."""
