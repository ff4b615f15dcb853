"""Low-rank adaptation: LoRA, DoRA, VeRA. One way to place and attach updates, three ways to compute them."""

from typing import NamedTuple

from methods import papers
from methods.lora.adapters import Adapters, DoRA, LoRA, VeRA
from methods.papers import Papers

__all__ = ["ADAPTERS", "Adapters", "DoRA", "LoRA", "VeRA"]


class AdapterRow(NamedTuple):
    """A row of :data:`ADAPTERS`: the adapted weight as a formula, and the papers."""

    trains: str
    papers: Papers


ADAPTERS = {
    "lora": AdapterRow("W + s·BA", (papers.LORA,)),
    "dora": AdapterRow(
        "m · V/‖V‖ per output row, V = W + s·BA, m = ‖W‖ at first, ‖V‖ constant in the gradient", (papers.DORA,)
    ),
    "vera": AdapterRow(
        "W + Λ_b B Λ_d A, vectors b (0 at first) and d (0.1) over one frozen random pair", (papers.VERA,)
    ),
}
