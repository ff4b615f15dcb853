"""LiNeS: layer-wise scaling of a task vector (Wang et al. 2024, arXiv 2410.17146): λ(ℓ) = α + β·(ℓ−1)/(L−1).

Layer numbers are read from parameter names, for each tower on its own (``methods/layers.py``). Everything outside of
the blocks takes α, as in the authors' code: embeddings and first convolutions, and last norms, projections, pooling and
the temperature too.
"""

from collections.abc import Iterable

from fomo import FomoError
from methods.layers import blocks_of


def positions(names: Iterable[str]) -> dict[str, float]:
    """The position (ℓ−1)/(L−1) of every name: 0 for a tower's first block, 1 for its last, 0 outside of blocks.

    Raises:
        FomoError: no name has a layer number.
    """
    names = list(names)
    blocks = blocks_of(names)
    if not blocks:
        raise FomoError(
            "merging.lines: no layer numbers in the parameter names of this model. Give merging.lines=null."
        )
    return dict.fromkeys(names, 0.0) | {
        name: each.number / max(1, each.num_blocks - 1) for name, each in blocks.items()
    }


def factors(names: Iterable[str], alpha: float, beta: float) -> dict[str, float]:
    """λ(ℓ) = α + β·(ℓ−1)/(L−1) of every name, ℓ being its layer."""
    return {name: alpha + beta * position for name, position in positions(names).items()}
