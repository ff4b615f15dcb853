"""Low-rank adaptation: LoRA, DoRA, VeRA. One way to place and attach updates, three ways to compute them."""

from methods.lora.adapters import Adapters, DoRA, LoRA, VeRA
from methods.papers import PAPERS
from methods.trainable import TrainableRow

__all__ = ["ADAPTERS", "Adapters", "DoRA", "LoRA", "VeRA"]


ADAPTERS = {
    "lora": TrainableRow("W + s·BA", papers=(PAPERS["lora"],)),
    "dora": TrainableRow(
        "m · V/‖V‖ per output row, V = W + s·BA, m = ‖W‖ at first, ‖V‖ constant in the gradient",
        papers=(PAPERS["dora"],),
    ),
    "vera": TrainableRow(
        "W + Λ_b B Λ_d A, vectors b (0.1 at first) and d (0) over one frozen random pair", papers=(PAPERS["vera"],)
    ),
}
