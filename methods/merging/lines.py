"""LiNeS: layer-wise scaling of a task vector (Wang et al. 2024, arXiv 2410.17146): λ(ℓ) = α + β·(ℓ−1)/(L−1).

Layer numbers are read from parameter names, for each tower on its own (whatever stands before the first numbered
block is the tower's name): blocks are ``resblocks.i``, ``blocks.i``, ``layer.i`` and the like, and in networks of
stages ``layer3.2`` or ``stages.2.blocks.3``, counted in order. Everything outside of the blocks takes α, as in the
authors' code: embeddings and first convolutions, and last norms, projections, pooling and the temperature too.
"""

import re
from collections.abc import Iterable

from fomo import FomoError

BLOCK = re.compile(
    r"^(?P<tower>.*?)\b(?:resblocks|blocks|layers?|stages?)\.?(?P<outer>\d+)(?:\.(?:(?:blocks|layers)\.)?(?P<inner>\d+))?"
)


def positions(names: Iterable[str]) -> dict[str, float]:
    """The position (ℓ−1)/(L−1) of every name: 0 for a tower's first block, 1 for its last, 0 outside of blocks.

    Raises:
        FomoError: no name has a layer number.
    """
    names = list(names)
    blocks = {name: key for name in names if (key := _block(name)) is not None}
    if not blocks:
        raise FomoError(
            "merging.lines: no layer numbers in the parameter names of this model. Give merging.lines=null."
        )
    towers = {tower for tower, _ in blocks.values()}
    order = {each: sorted({depth for tower, depth in blocks.values() if tower == each}) for each in towers}
    placed = dict.fromkeys(names, 0.0)
    for name, (tower, depth) in blocks.items():
        placed[name] = order[tower].index(depth) / max(1, len(order[tower]) - 1)
    return placed


def _block(name: str) -> tuple[str, tuple[int, int]] | None:
    """The tower of a block's parameter, and the block as (stage, number in the stage); ``None`` outside of blocks."""
    match = BLOCK.match(name)
    if match is None:
        return None
    return match["tower"], (int(match["outer"]), int(match["inner"] or -1))


def factors(names: Iterable[str], alpha: float, beta: float) -> dict[str, float]:
    """λ(ℓ) = α + β·(ℓ−1)/(L−1) of every name, ℓ being its layer."""
    return {name: alpha + beta * position for name, position in positions(names).items()}
