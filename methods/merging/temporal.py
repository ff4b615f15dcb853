"""Merging after each task (Dziadzio et al. 2024, arXiv 2412.06712; Stojanovski et al. 2022, arXiv 2205.06640).

EMA-merge: m₀ = θ₀, m_t = weight · m_{t−1} + (1 − weight) · θ_t. Training of the next task starts from m_t, and m_t is
what is evaluated (initialisation "merged", deployment "running").
"""

from torch import nn

import fomo
from fomo import weights as fomo_weights
from fomo.weights import Weights
from methods.merging.techniques import interpolate


class EmaMerge(fomo.Method):
    """Keep the running merge; adapters are folded into it and start anew in the next task.

    Memory: the running merge (m_{t−1}) beside the network, nothing that grows with the number of tasks.
    """

    def __init__(self, weight: float = 0.5) -> None:
        if not 0 <= weight <= 1:
            raise fomo.FomoError(f"merging.weight={weight}: allowed are 0 to 1, the share of the old model.")
        self.weight = weight
        self._running: Weights = {}

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """m₀ is the base model."""
        self._running = fomo_weights.folded(network)

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Merge the trained weights in and go on from the merge."""
        self._running = interpolate(self._running, fomo_weights.folded(network), self.weight)
        fomo_weights.load(network, self._running)
