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
from methods.regularizers.distillation import Distillation
from methods.regularizers.quadratic import L2, Kept, at_least, copies, trained


class WeightAverage(Kept):
    """Ends each task at the mean of its start and of the weights after every ``every`` · num_steps steps.

    ``every`` is 0 to 1; with 0 nothing is averaged and the weights stay as they are trained.
    """

    def __init__(self, every: float) -> None:
        if not 0 <= every <= 1:
            raise fomo.FomoError(f"regularizer.average_every={every}: allowed are 0 to 1, a share of the task's steps.")
        super().__init__("average")
        self.every = every
        self.num_steps = 0
        self.num_averaged = 0
        self.interval = 1

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Start the average with the weights that the task starts from."""
        if self.every:
            self.kept["average"] = copies(network)
            self.num_steps = 0
            self.num_averaged = 1
            self.interval = max(1, round(self.every * task.num_steps))

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        """Count the step, and take its weights into the average at the end of every interval."""
        self.num_steps += 1
        if self.every and self.num_steps % self.interval == 0:
            self.num_averaged += 1
            parameters = self.part("average", network)
            for name, average in self.kept["average"].items():
                average.lerp_(parameters[name], 1 / self.num_averaged)

    @torch.no_grad()
    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Set the network to the average."""
        parameters = trained(network)
        self.make_whole("average", network)
        for name, average in self.kept["average"].items():
            parameters[name].copy_(average)
        self.kept["average"] = {}

    def state_dict(self) -> dict[str, Tensor]:
        """The average, and as ``counts`` the task's steps so far and how many weights are averaged."""
        return super().state_dict() | {"counts": torch.tensor([self.num_steps, self.num_averaged])}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on from the average and the counts of ``state``."""
        self.num_steps, self.num_averaged = state["counts"].tolist()
        super().load_state_dict(network, {key: value for key, value in state.items() if key != "counts"})


class ZSCL(Distillation):
    """Distillation on the pool's rows, L2 to the task's start, and the average of the weights.

    Args:
        strength: factor of the distillation.
        temperature: T, by which similarities are divided before they are compared.
        l2: factor of ‖θ − θ_start of the task‖².
        average_every: share of a task's steps between two weights that are averaged; 0 averages nothing.
    """

    pool_rows_only = True
    teacher_texts = True

    def __init__(
        self, strength: float = 1.0, temperature: float = 2.0, l2: float = 1.0, average_every: float = 0.1
    ) -> None:
        at_least("l2", l2, 0)
        super().__init__(strength, temperature)
        self.l2 = L2(2 * l2, anchor="task")  # which has λ/2
        self.average = WeightAverage(average_every)

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Take the weights as what L2 holds to and as the first of the average."""
        super().begin_task(network, task)
        self.l2.begin_task(network, task)
        self.average.begin_task(network, task)

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss so far, with the divergence on the pool's rows and the L2 term added."""
        return self.l2.loss(network, batch, super().loss(network, batch, loss))

    def after_step(self, network: nn.Module) -> None:
        """Take the weights into the average at the end of every interval."""
        self.average.after_step(network)

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Set the network to the average."""
        self.average.end_task(network, task)

    def state_dict(self) -> dict[str, Tensor]:
        """What L2 holds to, and the average: their keys below ``l2.`` and ``average.``."""
        held = {f"l2.{key}": value for key, value in self.l2.state_dict().items()}
        return held | {f"average.{key}": value for key, value in self.average.state_dict().items()}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on from what L2 holds to, and from the average."""
        for part, prefix in ((self.l2, "l2."), (self.average, "average.")):
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            part.load_state_dict(network, own)
