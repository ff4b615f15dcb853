"""Pretraining of the shipped base models: contrastive learning on the pocket's pool (Radford et al. 2021).

The loss is :math:`-\\frac{1}{2b} \\sum_i (\\log p_{ii} + \\log q_{ii})`, where p and q are the softmax of the scaled
similarities over texts and over images. It differs from the paper in one point: the pool shows each concept, and has
some captions, many times; other pairs of a batch with the same concept or text are left out of the softmax.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fomo import rng
from fomo.data.samples import ArraySamples
from fomo.errors import FomoError, check_choice
from fomo.model.clip import ClipModel
from fomo.model.fast import quicken, shortest
from fomo.model.names import MODELS
from fomo.model.shipped import pocket, read_config
from fomo.model.widths import widened
from fomo.stream.cut_texts import Tokenize
from fomo.training.rates import SCALE, set_rate
from streams.pocket import datasets, sets
from streams.pocket.pretraining import mup

MAX_LOGIT_SCALE = math.log(100)
OnStep = Callable[[int, float], None]


@dataclass(frozen=True)
class PretrainingRecipe:
    """What a pretraining depends on, besides the code.

    Attributes:
        num_samples: size of the pool.
        steps: number of optimizer steps.
        batch_size: pairs in a batch.
        lr: the peak of the learning rate.
        weight_decay: of matrices that are no embeddings.
        warmup: share of the steps in which the learning rate rises.
        shift: largest move of an image along each axis, in pixels.
        group: pairs of one family that stand together in a batch: alike things are each other's best negatives.
        seed: of the order of the pool and of the shifts.
        num_threads: of the processor; sums over threads round differently.
        width: what numbers of channels and heads are multiplied by.
        parametrization: of initial weights and rates at other widths, ``standard`` or ``mup``.
    """

    num_samples: int
    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup: float
    shift: int
    group: int = 1
    seed: int = 0
    num_threads: int = 1
    width: float = 1.0
    parametrization: str = mup.STANDARD

    def __post_init__(self) -> None:
        for name in ("num_samples", "steps", "batch_size", "group", "num_threads"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 and above")
        _require(
            self.batch_size <= self.num_samples, "batch_size", self.batch_size, f"up to {self.num_samples} samples"
        )
        _require(self.batch_size % self.group == 0, "group", self.group, f"divisors of the batch, {self.batch_size}")
        _require(0 < self.lr < math.inf, "lr", self.lr, "numbers above 0")
        _require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "0 and above")
        _require(0 <= self.warmup < 1, "warmup", self.warmup, "shares of the steps, from 0 to below 1")
        _require(0 <= self.shift <= 16, "shift", self.shift, "0 to 16 pixels")
        check_choice("parametrization", self.parametrization, mup.PARAMETRIZATIONS)

    def check_model(self, name: str) -> None:
        """Refuse the base model ``name`` where it has no such width or parametrisation."""
        widened(name, read_config(name), self.width)
        if self.parametrization == mup.MUP:
            mup.check(name)

    def written(self) -> dict[str, Any]:
        """What ``recipe.json`` holds: width and parametrisation where they are not those of the shipped models."""
        shipped = {"width": 1, "parametrization": mup.STANDARD}
        return {key: value for key, value in asdict(self).items() if value != shipped.get(key)}

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return warmed_cosine(step, self.steps, self.warmup, self.lr)


def warmed_cosine(step: int, steps: int, warmup: float, lr: float) -> float:
    """The learning rate of a step, counted from 0: linear warm-up to ``lr``, then half a cosine down to zero."""
    ramp = round(warmup * steps)
    if step < ramp:
        return lr * (step + 1) / ramp
    return lr * (1 + math.cos(math.pi * (step - ramp) / (steps - ramp))) / 2


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise FomoError(f"{name}={value}: allowed are {allowed}.")


def shipped_recipe(name: str) -> PretrainingRecipe:
    """The recipe by which the shipped weights of the base model ``name`` were made."""
    return PretrainingRecipe(**json.loads((MODELS / name / "recipe.json").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Pairs:
    """The n pairs of an image and a text of a batch, or of the whole pool in memory.

    ``images`` uint8, [n, 3, h, w] of a batch and [n, h, w, 3] of the pool; ``tokens`` [t, l] of the distinct texts;
    ``texts`` [n] is the row of each pair's text in ``tokens``, ``targets`` [n] the number of its concept.
    """

    images: Tensor
    tokens: Tensor
    texts: Tensor
    targets: Tensor


def read_pool(samples: ArraySamples, tokenize: Tokenize) -> Pairs:
    """Load the pool whole; each distinct caption is tokenized once."""
    captions = [samples.captions(index)[0] for index in range(len(samples))]
    distinct, texts = np.unique(captions, return_inverse=True)
    images = np.stack([np.asarray(samples.image(index)) for index in range(len(samples))])
    tokens = tokenize(distinct.tolist())
    return Pairs(torch.from_numpy(images), tokens, torch.from_numpy(texts), torch.from_numpy(samples.targets))


def batches(pool: Pairs, recipe: PretrainingRecipe) -> Iterator[Pairs]:
    """Endless batches: a new order each epoch, whose incomplete last batch is dropped."""
    families = sets.pool_families(pool.targets.numpy())
    for epoch in count():
        order = grouped_order(rng.generator(recipe.seed, "pretrain", "order", epoch), families, recipe.group)
        num_used = len(order) // recipe.batch_size * recipe.batch_size
        for number, rows in enumerate(order[:num_used].reshape(-1, recipe.batch_size)):
            shifts = rng.generator(recipe.seed, "pretrain", "shift", epoch, number)
            moves = shifts.integers(-recipe.shift, recipe.shift, (2, len(rows), 1), endpoint=True)
            yield _pairs(pool, torch.from_numpy(rows), torch.from_numpy(moves))


def grouped_order(generator: np.random.Generator, families: np.ndarray, group: int) -> np.ndarray:
    """Samples in random order, but for runs of ``group`` of one family; up to ``group`` - 1 samples are left out.

    Args:
        generator: decides the order.
        families: of every sample, [n].
        group: length of the runs; where a family's number of samples is no multiple, one run holds two families.
    """
    order = generator.permutation(len(families))
    alike = order[np.argsort(families[order], kind="stable")]
    runs = alike[: len(alike) // group * group].reshape(-1, group)
    return runs[generator.permutation(len(runs))].ravel()


def _pairs(pool: Pairs, rows: Tensor, moves: Tensor) -> Pairs:
    present, texts = pool.texts[rows].unique(return_inverse=True)
    return Pairs(shifted(pool.images, rows, moves), pool.tokens[present], texts, pool.targets[rows])


def shifted(images: Tensor, rows: Tensor, moves: Tensor) -> Tensor:
    """Images ``rows`` [b], moved by ``moves`` [2, b, 1] pixels, their edges repeated: uint8 [b, 3, h, w]."""
    height, width = images.shape[1:3]
    down = (torch.arange(height) + moves[0]).clamp(0, height - 1)
    across = (torch.arange(width) + moves[1]).clamp(0, width - 1)
    return images[rows[:, None, None], down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)


def masked_contrastive(similarity: Tensor, same: Tensor) -> Tensor:
    """The symmetric loss of scaled similarities [b, b], image by text; pairs that are the ``same`` are no negatives.

    ``same`` is bool [b, b]; its diagonal does not count.
    """
    logits = similarity.masked_fill(same.clone().fill_diagonal_(False), -math.inf)
    positives = torch.arange(len(logits))
    return (F.cross_entropy(logits, positives) + F.cross_entropy(logits.T, positives)) / 2


def same_pairs(pairs: Pairs) -> Tensor:
    """Which pairs have one concept or one text, bool [b, b]."""
    return (pairs.targets[:, None] == pairs.targets) | (pairs.texts[:, None] == pairs.texts)


def loss_of(model: ClipModel, pairs: Pairs) -> Tensor:
    """The contrastive loss of a batch, a scalar. Each distinct text is encoded once, up to the end of the longest."""
    network = model.network
    images = network.encode_image(model.normalize(pairs.images), normalize=True)
    encoded = network.encode_text(pairs.tokens[:, : shortest(network, pairs.tokens)], normalize=True)
    # As a lookup: the gradient of plain indexing is summed in no fixed order.
    texts = F.embedding(pairs.texts, encoded)
    return masked_contrastive(network.logit_scale.exp() * (images @ texts.T), same_pairs(pairs))


def pretrain(name: str, recipe: PretrainingRecipe, on_step: OnStep = lambda step, loss: None) -> ClipModel:
    """Train the base model ``name`` from its initial weights.

    Args:
        name: a shipped base model.
        recipe: what to train on, and how.
        on_step: called after every step, counted from 1, with its loss.

    Raises:
        FomoError: there is no such width or parametrisation of the model, or the loss became infinite or NaN.
    """
    recipe.check_model(name)
    model, optimizer = begun(name, recipe)
    quicken(model.network)
    pool = read_pool(datasets.open_pool(recipe.num_samples), model.tokenize)
    model.network.train()
    with threads(recipe.num_threads):
        for step, pairs in zip(range(recipe.steps), batches(pool, recipe), strict=False):
            on_step(step + 1, _update(model, optimizer, pairs, recipe.learning_rate(step)))
    model.network.eval()
    return model


def begun(name: str, recipe: PretrainingRecipe) -> tuple[ClipModel, torch.optim.Optimizer]:
    """The model before its first step, and its optimizer."""
    model = pocket(name, initial=True, width=recipe.width)
    if recipe.parametrization == mup.STANDARD:
        return model, make_optimizer(model.network, recipe)
    mup.set_initial(model.network, recipe.width)
    return model, make_optimizer(model.network, recipe, mup.hidden(name, model.network))


def _update(model: ClipModel, optimizer: torch.optim.Optimizer, pairs: Pairs, rate: float) -> float:
    set_rate(optimizer, rate)
    loss = loss_of(model, pairs)
    if not math.isfinite(loss.item()):
        raise FomoError(f"the loss became {loss.item()}. Lower lr.")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        model.network.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
    return loss.item()


def make_optimizer(
    network: nn.Module, recipe: PretrainingRecipe, hidden: Collection[str] = ()
) -> torch.optim.Optimizer:
    """AdamW that decays matrices alone: decayed embeddings would forget the words that are not in the pool.

    Args:
        network: what is trained.
        recipe: says rate, decay and width.
        hidden: names of the matrices whose rate is divided by the width and whose decay, in each step, is not.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    scaled: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_free = parameter.ndim < 2 or "embedding" in name
        (scaled if name in hidden else free if is_free else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if scaled:
        decay = recipe.weight_decay * recipe.width
        groups.append({"params": scaled, "weight_decay": decay, SCALE: 1 / recipe.width})
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """While open, torch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
