"""ZSCL (Zheng et al. 2023, arXiv 2303.06628): distillation on reference data, and a small move in weight space.

- Feature space: the divergence of ``distillation.py`` from the base model on reference data, image to text and text to
  image, T = 2. The base model's texts stand on both sides, as in the authors' code, so that it holds the image tower.
- Weight space: l2 · ‖θ − θ_start of the task‖², and the average of the weights on the way (WE), every tenth of the
  task: θ̂_k = θ_k / (k+1) + k/(k+1) · θ̂_{k−1}, θ̂_0 the task's start; θ̂ is evaluated and trained on from.

What differs: reference images and texts are the batch's rows of the pretraining pool, not ImageNet and captions of a
web crawl; the scale is the base model's; the interval of the average is a share of the task (the paper's is 100 of
1,000 steps); only what is trained is averaged, with adapters their factors.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import fomo
from fomo.training.methods import Methods
from methods.regularizers.distillation import Distillation
from methods.regularizers.quadratic import L2, Kept, at_least, copies, trained


class WeightAverage(Kept):
    """The mean of the task's start and of the weights after every ``every`` · num_steps steps; 0 leaves it out."""

    def __init__(self, every: float) -> None:
        if not 0 <= every <= 1:
            raise fomo.FomoError(f"regularizer.average_every={every}: allowed are 0 to 1, a share of the task's steps.")
        super().__init__("average")
        self.every = every
        self.num_steps, self.num_averaged, self.interval = 0, 0, 1

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """θ̂ = θ."""
        if self.every:
            self.kept["average"] = copies(network)
            self.num_steps, self.num_averaged = 0, 1
            self.interval = max(1, round(self.every * task.num_steps))

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        """Take the weights in, if it is their turn."""
        self.num_steps += 1
        if self.every and self.num_steps % self.interval == 0:
            self.num_averaged += 1
            parameters = trained(network)
            for name, average in self.kept["average"].items():
                average.lerp_(parameters[name], 1 / self.num_averaged)

    @torch.no_grad()
    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Go on from the average."""
        parameters = trained(network)
        for name, average in self.kept["average"].items():
            parameters[name].copy_(average)
        self.kept["average"] = {}

    def state_dict(self) -> dict[str, Tensor]:
        """The average and how many weights are in it."""
        counts = torch.tensor([self.num_steps, self.num_averaged])
        return super().state_dict() | {"counts": counts}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Copy both."""
        self.num_steps, self.num_averaged = state["counts"].tolist()
        super().load_state_dict(network, {key: value for key, value in state.items() if key != "counts"})


class ZSCL(Methods):
    """Distillation on the pool's rows, L2 to the task's start, and the average of the weights."""

    def __init__(
        self, strength: float = 1.0, temperature: float = 2.0, l2: float = 1.0, average_every: float = 0.1
    ) -> None:
        at_least("l2", l2, 0)
        held = L2(2 * l2, anchor="task")  # which has λ/2
        distillation = Distillation("zscl", strength, temperature)
        super().__init__({"distillation": distillation, "l2": held, "average": WeightAverage(average_every)})
