"""Small networks and data that diagnostics are tried on."""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import fomo
from fomo.budget.cost import Cost
from fomo.planning.rehearsal import rehearse
from fomo.planning.shape import StreamShape
from fomo.testing.world import own_rows
from fomo.training.methods import Methods
from fomo.training.step import Learner


class Toy(nn.Module):
    """Two towers of one layer each, in fp64: images [b, 3, 1, 2], tokens [b, 4] below 9."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(3)
        self.image = nn.Parameter(torch.randn(4, 6, generator=drawn, dtype=torch.float64))
        self.text = nn.Parameter(torch.randn(9, 4, generator=drawn, dtype=torch.float64))
        self.logit_scale = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, images: Tensor, tokens: Tensor) -> fomo.Features:
        found = (images.flatten(1) @ self.image.T, self.text[tokens].mean(1).tanh())
        images, texts = (nn.functional.normalize(each, dim=-1) for each in found)
        return fomo.Features(images, texts, self.logit_scale.exp())


def batch(size: int, seed: int = 0) -> fomo.Batch:
    """Rows of D_t."""
    drawn = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, 1, 2, generator=drawn, dtype=torch.float64)
    return fomo.Batch(images, torch.randint(0, 9, (size, 4), generator=drawn), (0, size, 0))


def once(size: int, max_samples: int | None = None, most: int = 48) -> Iterator[fomo.Batch]:
    """D_t of ``most`` samples."""
    for number in range(min(most, max_samples or most) // size):
        yield own_rows(batch(size, number))


def task(number: int = 1, most: int = 48, **more: Any) -> fomo.Task:
    """One with so many new samples."""
    return fomo.Task(number, 2, 3, 0, most, partial(once, most=most), **more)


def logged(part: fomo.Method) -> dict[str, float]:
    """What a part has logged."""
    return {name: float(value) for name, value in part.take_logged().items()}


def flat(tensors: Any) -> Tensor:
    """One vector."""
    return torch.cat([each.detach().flatten() for each in tensors])


class Small(Toy):
    """In fp32, for images [b, 3, 8, 8]; its parameters are much of what is held."""

    context_length = 4

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.ones(4, 3 * 8 * 8, dtype=torch.float64))
        self.float()


class Trained(fomo.Method):
    """Everything is."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        network.requires_grad_(True)


def planned(part: fomo.Method, rows: int = 6) -> Cost:
    """What a rehearsal finds of the small network, trained in two tasks beside the part."""

    network = Small()

    def learner() -> Learner:
        methods = Methods({"trainable": Trained(), "diagnostics": part})
        return Learner(network, methods, lambda named: torch.optim.SGD(dict(named).values()), 1.0, None, nullcontext)

    return rehearse(learner, StreamShape(8, lambda task: [(0, rows, 0)], (48, 30), 0), mixed_precision=False)


def small_batches(size: int, max_samples: int | None = None) -> Iterator[fomo.Batch]:
    """A batch for the small network."""
    yield fomo.Batch(torch.randn(size, 3, 8, 8), torch.randint(0, 9, (size, 4)), (0, size, 0))


class Distant(fomo.Method):
    """A term on the features, and one on the weights."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        assert batch.features is not None
        return loss + batch.features.images.mean(0).square().sum() + network.get_parameter("text").square().sum()
