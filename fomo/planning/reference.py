"""What the memory multiplier compares a method with: full fine-tuning, rehearsed."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn
from torch.optim import AdamW

from fomo.budget.cost import Cost
from fomo.method import Method, Task
from fomo.planning.rehearsal import rehearse
from fomo.planning.shape import StreamShape
from fomo.training.methods import Methods
from fomo.training.step import Learner


def full_fine_tuning(make_learner: Callable[[], Learner], shape: StreamShape, mixed_precision: bool) -> Cost:
    """The reference of the memory multiplier: every parameter trained by AdamW, in one task of one sample.

    Model, batch and precision are those of the learner, the shape and ``mixed_precision``.
    """

    def reference() -> Learner:
        full = Methods({"trainable": _Full()})
        return replace(
            make_learner(), methods=full, make_optimizer=lambda named: AdamW(dict(named).values(), fused=True)
        )

    return rehearse(reference, replace(shape, num_samples=[1]), mixed_precision)


class _Full(Method):
    def begin_task(self, network: nn.Module, task: Task) -> None:
        """Everything is trained."""
        network.requires_grad_(True)
