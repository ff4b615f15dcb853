"""Where in its tower a parameter is, read from its name: open_clip's, timm's and Hugging Face's towers.

For each tower on its own (whatever stands before the first numbered block is the tower's name): blocks are
``resblocks.i``, ``blocks.i``, ``layer.i`` and the like, and in networks of stages ``layer3.2`` or
``stages.2.blocks.3``, counted in order.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

BLOCK = re.compile(
    r"^(?P<tower>.*?)\b(?:resblocks|blocks|layers?|stages?)\.?(?P<outer>\d+)(?:\.(?:(?:blocks|layers)\.)?(?P<inner>\d+))?"
)
IMAGE = "visual."
"""What the names of the image tower's parameters start with."""
TEMPERATURE = ("logit_scale", "logit_bias")
"""Names outside of both towers."""


class Block(NamedTuple):
    """The ``number`` of a tower's block, from 0, and how many blocks the tower has."""

    number: int
    num_blocks: int


def blocks_of(names: Iterable[str]) -> dict[str, Block]:
    """The block of every name that is in one."""
    found = {name: key for name in names if (key := _block(name)) is not None}
    towers = {tower for tower, _ in found.values()}
    order = {each: sorted({depth for tower, depth in found.values() if tower == each}) for each in towers}
    return {name: Block(order[tower].index(depth), len(order[tower])) for name, (tower, depth) in found.items()}


def _block(name: str) -> tuple[str, tuple[int, int]] | None:
    """The tower of a block's parameter, and the block as (stage, number in the stage); ``None`` outside of blocks."""
    match = BLOCK.match(name)
    if match is None:
        return None
    return match["tower"], (int(match["outer"]), int(match["inner"] or -1))
