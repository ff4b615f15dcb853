"""A merging rule: what two models pull in opposite directions stays where it was."""

import torch


def agree(values, weights, draws, out):
    """Return Σ wᵢτᵢ, a tensor [n], with 0 where two of the task vectors τᵢ have opposite signs."""
    total = lowest = highest = torch.zeros_like(out)
    for value, weight in zip(values, weights, strict=True):
        total = total + weight * value
        lowest = torch.minimum(lowest, value)
        highest = torch.maximum(highest, value)
    opposed = (lowest < 0) & (highest > 0)
    return total.masked_fill(opposed, 0.0)
