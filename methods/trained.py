"""What is trained, for parts that make no sense where nothing is."""

from torch import nn

import fomo


def trained(network: nn.Module, group: str, why: str) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name.

    Args:
        network: Whose they are.
        group: Of the part that asks, as ``regularizer``.
        why: What there is not to do where nothing is trained, for the error.

    Raises:
        FomoError: there are none.
    """
    found = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    if not found:
        raise fomo.FomoError(f"{group}: nothing is trained, so {why}. Take {group}=none.")
    return found
