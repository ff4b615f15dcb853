"""Learning rates by tower and by layer: what the schedule gives is multiplied, for each parameter, by a factor.

Layer-wise decay δ (Clark et al. 2020, ELECTRA, arXiv 2003.10555; numbered as in the code of Bao et al. 2021, BEiT,
arXiv 2106.08254): of a tower of n blocks, block i from 0 learns at δ^(n−i), what comes before the blocks (patches,
tokens, positions) at δ^(n+1), what comes after them (last norm, projection, pooling) and the temperature at 1.
"""

import math
from collections.abc import Iterable, Mapping

import fomo
from methods.layers import IMAGE, TEMPERATURE, blocks_of

TOWERS = ("image", "text", "temperature")
FIRST = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "embed", "token", "ln_pre", "norm_pre", "stem")
"""Parts of names outside of blocks that stand before the first block; all else outside of them comes after the last."""
LAST = ("attnpool", "attn_pool", "head")
"""Parts that stand after the last block, whatever else the name says: an attention pool has positions of its own."""


def tower_of(name: str) -> str:
    """The tower of a parameter, or ``temperature``: one of :data:`TOWERS`."""
    if name.rsplit(".", 1)[-1] in TEMPERATURE:
        return "temperature"
    return "image" if name.startswith(IMAGE) else "text"


def factors(names: Iterable[str], towers: Mapping[str, float] | None, layer_decay: float) -> dict[str, float]:
    """The factor of each parameter's rate.

    Args:
        names: The parameters that are trained.
        towers: A factor for each of :data:`TOWERS` that does not learn at 1.
        layer_decay: δ, above 0 to 1.

    Raises:
        FomoError: an unknown tower, a factor out of range, or no blocks that the decay could count.
    """
    names = list(names)
    of_tower = _checked(towers or {})
    if not 0 < layer_decay <= 1:
        raise fomo.FomoError(f"optimizer.layer_decay={layer_decay}: allowed are numbers above 0 to 1.")
    blocks = blocks_of(names)
    if layer_decay < 1 and not blocks:
        raise fomo.FomoError(
            f"optimizer.layer_decay={layer_decay}: no layer numbers in the names of what is trained. Leave it at 1."
        )
    depths = {tower_of(name): block.num_blocks for name, block in blocks.items()}
    below_top = {name: _below_top(name, depths) for name in names}
    below_top |= {name: block.num_blocks - block.number for name, block in blocks.items()}
    return {name: of_tower[tower_of(name)] * layer_decay ** below_top[name] for name in names}


def _checked(towers: Mapping[str, float]) -> dict[str, float]:
    for tower, factor in towers.items():
        if tower not in TOWERS:
            raise fomo.unknown("key of optimizer.lr_scale", str(tower), TOWERS)
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 <= factor < math.inf:
            raise fomo.FomoError(f"optimizer.lr_scale.{tower}={factor}: allowed are finite numbers from 0.")
    return dict.fromkeys(TOWERS, 1.0) | dict(towers)


def _below_top(name: str, depths: Mapping[str, int]) -> int:
    """How many layers are above a parameter outside of the blocks: all of its tower, or none."""
    is_first = any(part in name for part in FIRST) and not any(part in name for part in LAST)
    tower = tower_of(name)
    return depths[tower] + 1 if is_first and tower in depths else 0
