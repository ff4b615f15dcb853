"""A merging rule: where two models pull in opposite directions, a share of the merge is left."""

import torch


def agree(values, weights, draws, out, share=0.0):
    """Return Σ wᵢτᵢ, a tensor [n], times ``share`` where two of the task vectors τᵢ have opposite signs."""
    total = lowest = highest = torch.zeros_like(out)
    for value, weight in zip(values, weights, strict=True):
        total = total + weight * value
        lowest = torch.minimum(lowest, value)
        highest = torch.maximum(highest, value)
    opposed = (lowest < 0) & (highest > 0)
    return torch.where(opposed, share * total, total)
