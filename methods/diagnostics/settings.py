"""What settings of diagnostics may be, and what they look at."""

import math

from torch import nn

import fomo


def check_count(key: str, value: int, smallest: int) -> None:
    """Refuse a ``value`` of the setting ``key`` that is no integer from ``smallest`` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise fomo.FomoError(f"diagnostics.{key}={value}: allowed are integers from {smallest}.")


def check_positive(key: str, value: float) -> None:
    """Refuse a ``value`` of the setting ``key`` that is 0, negative or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise fomo.FomoError(f"diagnostics.{key}={value}: allowed are finite numbers above 0.")


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name.

    Raises:
        FomoError: there are none.
    """
    found = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    if not found:
        raise fomo.FomoError("diagnostics: nothing is trained, so there is nothing to measure. Take diagnostics=none.")
    return found
