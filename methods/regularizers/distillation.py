"""Distillation from the base model: what it says of a batch, similarities of images and texts, is to stay.

L + λ · (D(P̄ ‖ P) + D(P̄ᵀ ‖ Pᵀ)), D(P̄ ‖ P) = T² · mean over rows of KL(softmax(P̄/T) ‖ softmax(P/T)), P the similarities
of images to texts times exp(logit_scale), P̄ the base model's.

``lwf``, after Learning without Forgetting (Li and Hoiem 2016, arXiv 1606.09282), takes the whole batch with the model's
own texts. It differs in that the teacher is the base model, not that of the task before, and that classes are the
batch's texts, and images, not a head's outputs; T² (Hinton et al. 2015) keeps λ comparable over T. The feature-space
part of ZSCL (``zscl.py``) takes other rows and texts. The KL has the gradient of the papers' cross-entropy.
"""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

import fomo
from methods.regularizers.quadratic import above_zero, at_least, trained


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy of ``network`` that nothing trains. Fake tensors can be copied so, unlike by ``copy.deepcopy`` alone."""
    parameters = {id(p): nn.Parameter(p.detach().clone(), requires_grad=False) for p in network.parameters()}
    buffers = {id(b): b.clone() for b in network.buffers()}
    return copy.deepcopy(network, {**parameters, **buffers})


def similarities(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Logits [b, b], images by texts, of unit features [b, d] each and ``scale`` []."""
    return scale * (images @ texts.T)


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """D(P̄ ‖ P) = T² · KL(softmax(P̄/T) ‖ softmax(P/T)) of logits [b, n], the mean over the b rows."""
    p = functional.log_softmax(teacher / temperature, dim=1)
    q = functional.log_softmax(student / temperature, dim=1)
    return temperature**2 * functional.kl_div(q, p, log_target=True, reduction="batchmean")


def both_ways(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """D(P̄ ‖ P) + D(P̄ᵀ ‖ Pᵀ) of logits [b, b], images by texts: the divergence in both directions."""
    return divergence(teacher, student, temperature) + divergence(teacher.T, student.T, temperature)


class Distillation(fomo.Method):
    """Adds ``strength`` · (D(P̄ ‖ P) + D(P̄ᵀ ‖ Pᵀ)) to the loss, P̄ from a copy of the base model, T ``temperature``."""

    parted_weights = True
    pool_rows_only = False
    """Whether only the batch's rows of the pretraining pool count, not all of its rows."""

    teacher_texts = False
    """Whether P has the base model's texts and scale too, so that the images alone are held."""

    def __init__(self, strength: float = 1.0, temperature: float = 2.0) -> None:
        at_least("strength", strength, 0)
        above_zero("temperature", temperature)
        self.strength = strength
        self.temperature = temperature

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Copy the base model; an error if what is trained cannot be held."""
        self._check(network)
        self.teacher = frozen_copy(network).eval()

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Refuse a network of which nothing that is held is trained."""
        self._check(network)

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss so far, with the divergence on the rows that count added.

        Raises:
            FomoError: fewer than two rows count.
        """
        own = batch.counts[0] if self.pool_rows_only else len(batch.images)
        rows = batch.whole[0] if self.pool_rows_only else batch.num_rows
        if rows < 2:
            raise fomo.FomoError(
                f"regularizer: {rows} of the batch's rows are of the pretraining pool; distillation compares 2 at "
                "least. Give mixture.pretraining a share of mixture.batches=mixed, or take regularizer=lwf."
            )
        images, texts, scale = batch.features or fomo.encode(network, batch)
        with torch.no_grad():
            base = fomo.encode(self.teacher, _first(batch, own, rows))
        if self.teacher_texts:
            _, texts, scale = base
        logits = similarities(images[:rows], texts[:rows], scale)
        return loss + self.strength * both_ways(similarities(*base), logits, self.temperature)

    def _check(self, network: nn.Module) -> None:
        names = trained(network)  # an error if there are none
        if self.teacher_texts and not any(name.startswith("visual.") for name in names):
            raise fomo.FomoError("regularizer: it distils the image tower alone, and that is frozen. Take lwf.")


def _first(batch: fomo.Batch, own: int, rows: int) -> fomo.Batch:
    """The first ``rows`` of a batch, of which this process has ``own``; texts over the whole context."""
    return replace(
        batch,
        images=batch.images[:own],
        tokens=batch.tokens[:own],
        sources=batch.sources[:own],
        counts=_from_start(own, batch.counts),
        whole=_from_start(rows, batch.whole),
        cut=None,
    )


def _from_start(rows: int, counts: tuple[int, int, int]) -> tuple[int, int, int]:
    """The counts of the first ``rows`` of a batch: all of them, or those of the pretraining pool."""
    return counts if rows == sum(counts) else (rows, 0, 0)


class LwF(Distillation):
    """Distillation on the whole batch, with the model's own texts and scale."""
