"""Distillation from the base model: what it says of a batch, similarities of images and texts, is to stay.

L + λ · (D(P̄ ‖ P) + D(P̄ᵀ ‖ Pᵀ)), D(P̄ ‖ P) = T² · mean over rows of KL(softmax(P̄/T) ‖ softmax(P/T)), P the similarities
of images to texts times exp(logit_scale), P̄ the base model's.

Rows of :data:`KINDS`: ``lwf``, after Learning without Forgetting (Li and Hoiem 2016, arXiv 1606.09282), on the whole
batch with the model's own texts. It differs in that the teacher is the base model, not that of the task before, and
that classes are the batch's texts, and images, not a head's outputs; T² (Hinton et al. 2015) keeps λ comparable over
T. ``zscl`` is the feature-space part of ZSCL, see ``zscl.py``. The KL has the gradient of the papers' cross-entropy.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

import fomo
from fomo.training.step import encode
from methods.regularizers.quadratic import above_zero, at_least, trained


class Kind(NamedTuple):
    """On which rows, and whether texts (and the scale) are the base model's on both sides."""

    pool_rows_only: bool
    teacher_texts: bool


KINDS = {"lwf": Kind(False, False), "zscl": Kind(True, True)}


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy that nothing trains; it can be made of fake tensors, which deep copies of tensors cannot."""
    parameters = {id(p): nn.Parameter(p.detach().clone(), requires_grad=False) for p in network.parameters()}
    buffers = {id(b): b.clone() for b in network.buffers()}
    return copy.deepcopy(network, {**parameters, **buffers})


def similarities(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Logits [b, b] of unit features [b, d]."""
    return scale * images @ texts.T


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of logits [b, n], mean over the b rows."""
    p = functional.log_softmax(teacher / temperature, dim=1)
    q = functional.log_softmax(student / temperature, dim=1)
    return temperature**2 * functional.kl_div(q, p, log_target=True, reduction="batchmean")


def both_ways(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """The divergence of image to text and of text to image, summed."""
    return divergence(teacher, student, temperature) + divergence(teacher.T, student.T, temperature)


class Distillation(fomo.Method):
    """Adds the divergence from the base model, of which it keeps a copy, to the loss."""

    def __init__(self, kind: str, strength: float, temperature: float) -> None:
        at_least("strength", strength, 0)
        above_zero("temperature", temperature)
        self.kind, self.strength, self.temperature = KINDS[kind], strength, temperature

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Copy the base model."""
        self._check(network)
        self.teacher = frozen_copy(network).eval()

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Refuse to hold what does not move."""
        self._check(network)

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss so far and the divergence on the rows at hand."""
        rows = batch.counts[0] if self.kind.pool_rows_only else len(batch.images)
        if rows < 2:
            raise fomo.FomoError(
                f"regularizer: {rows} of the batch's rows are of the pretraining pool; distillation compares 2 at "
                "least. Give mixture.pretraining a share of mixture.batches=mixed, or take regularizer=lwf."
            )
        images, texts, scale = batch.features or encode(network, batch)
        with torch.no_grad():
            base = fomo.Features(*self.teacher(batch.images[:rows], batch.tokens[:rows])[:3])
        if self.kind.teacher_texts:
            texts, scale = base.texts, base.scale
        logits = similarities(images[:rows], texts[:rows], scale)
        return loss + self.strength * both_ways(similarities(*base), logits, self.temperature)

    def _check(self, network: nn.Module) -> None:
        names = trained(network)
        if self.kind.teacher_texts and not any(name.startswith("visual.") for name in names):
            raise fomo.FomoError("regularizer: it distils the image tower alone, and that is frozen. Take lwf.")


class LwF(Distillation):
    """On the whole batch."""

    def __init__(self, strength: float = 0.1, temperature: float = 2.0) -> None:
        super().__init__("lwf", strength, temperature)
