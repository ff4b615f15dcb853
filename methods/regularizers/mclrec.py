"""MCLRec: learned augmenters of features, whose views are contrasted and kept unlike (Qin et al. 2023, arXiv
2304.07763).

From sequential recommendation, where z₁ and z₂ are two views of a sequence; here they are images and texts. With
augmenters w₁, w₂ of three layers, z₃ = w₁(z₁) and z₄ = w₂(z₂),

    L_m = nce(z₁, z₄) + nce(z₂, z₃) + nce(z₃, z₄),      R = mean[p − min(o, o′)]₊ + mean[max(o, o′) − n]₊,

p being the similarities of matching rows, n those of all others, o = min p, o′ = max n, and R summed over the same
three pairs. Three steps a batch: (1) the encoder on L + β·(L_m + γR), the augmenters as they are; (2) the augmenters
on L_m + γR, first order, the encoder as (1) has left it; (3) the encoder again.

Differs: (3) is left out, for a part takes no steps of the optimizer: a batch is one step of the budget, and the next
one has the augmenters that (2) has made. For (2) the features of (1) are kept (``features="kept"``), which is nearly
free and one step of the encoder late; with ``features="updated"`` the batch is encoded again, as in the paper, for a
forward pass more. nce is CLIP's loss, b × b, whose negatives are of the other side alone, at the model's temperature,
which it does not move; the paper's has those of its own side too, dot products and a temperature of 1, at which unit
features are nearly flat. Augmenters return unit features. The paper's λ·nce(z₁, z₂) is L.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fomo
from methods.regularizers.quadratic import Kept, above_zero, at_least, trained

SIDES = ("images", "texts")
FEATURES = ("kept", "updated")
NARROWER = (2, 4)
"""The two hidden layers of an augmenter are narrower than features by these: 64–32–16–64 in the paper."""
BETAS = (0.9, 0.999)
EPSILON = 1e-8
"""Of Adam, which the augmenters learn by."""


def augmenters(width: int, seed: int) -> fomo.Weights:
    """Weights of both augmenters for features of ``width``: normal of variance 1/fan_in, no biases yet."""
    widths = (width, *(max(1, width // each) for each in NARROWER), width)
    drawn = torch.Generator().manual_seed(fomo.rng.fold(seed, "mclrec") % 2**63)
    made = {}
    for side in SIDES:
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            made[f"{side}.{layer}.weight"] = torch.randn(fan_out, fan_in, generator=drawn) / math.sqrt(fan_in)
            made[f"{side}.{layer}.bias"] = torch.zeros(fan_out)
    return made


def augmented(weights: Mapping[str, Tensor], side: str, rows: Tensor) -> Tensor:
    """w(z): unit features [b, d] of unit features [b, d] of a ``side``, one of :data:`SIDES`."""
    for layer in range(len(NARROWER) + 1):
        rows = F.linear(
            F.gelu(rows) if layer else rows, *(weights[f"{side}.{layer}.{of}"] for of in ("weight", "bias"))
        )
    return F.normalize(rows, dim=-1)


def likeness(similarity: Tensor) -> Tensor:
    """R of the similarities [b, b] of two views, whose diagonal is of matching rows; b is 2 at least."""
    rows = len(similarity)
    positive = similarity.diagonal()
    negative = similarity.flatten()[1:].view(rows - 1, rows + 1)[:, :-1]
    least, most = positive.min(), negative.max()
    above = F.relu(positive - torch.minimum(least, most))
    below = F.relu(torch.maximum(least, most) - negative)
    return above.mean() + below.mean()


def contrasted(weights: Mapping[str, Tensor], features: fomo.Features, regularity: float) -> Tensor:
    """L_m + γR, a tensor without dimensions.

    Args:
        weights: Of the augmenters.
        features: z₁, z₂ and the scale of similarities.
        regularity: γ.
    """
    kind = next(iter(weights.values())).dtype
    images, texts, scale = (each.to(kind) for each in features)
    made_images = augmented(weights, "images", images)
    made_texts = augmented(weights, "texts", texts)
    pairs = ((images, made_texts), (made_images, texts), (made_images, made_texts))
    losses = [fomo.symmetric_loss(fomo.Features(one, other, scale)) for one, other in pairs]
    return torch.stack([*losses, *(regularity * likeness(one @ other.T) for one, other in pairs)]).sum()


class MCLRec(Kept):
    """Adds ``strength`` · (L_m + γR), and has the augmenters learn after each step.

    Args:
        strength: β.
        regularity: γ.
        lr: The rate of the augmenters' Adam.
        features: What they learn from: ``kept`` as the step had them, or ``updated``, of the weights that it has left.

    Raises:
        FomoError: a setting out of range.
    """

    parted_weights = True

    def __init__(
        self, strength: float = 0.01, regularity: float = 0.1, lr: float = 1e-3, features: str = "kept"
    ) -> None:
        at_least("strength", strength, 0)
        at_least("regularity", regularity, 0)
        above_zero("lr", lr)
        if features not in FEATURES:
            raise fomo.unknown("value of regularizer.features", features, FEATURES)
        super().__init__("augmenter", "mean", "square", "count")
        self.strength = strength
        self.regularity = regularity
        self.lr = lr
        self.is_updated = features == "updated"
        self._batch: fomo.Batch | None = None

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Refuse a network of which nothing is trained."""
        trained(network)
        self._seed = seed

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Note the precision that features are computed in."""
        trained(network)
        self._autocast = task.autocast
        self._batch = None

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss so far, with β·(L_m + γR) added."""
        if batch.num_rows < 2:
            raise fomo.FomoError("regularizer=mclrec: a batch of one row has nothing to contrast. Raise batch_size.")
        assert batch.features is not None
        if not self.kept["augmenter"]:
            self._make(network, batch.features.images.shape[1])
        self._batch = replace(batch, features=fomo.Features(*(each.detach() for each in batch.features)))
        features = batch.features._replace(scale=batch.features.scale.detach())
        return loss + self.strength * contrasted(self.kept["augmenter"], features, self.regularity)

    def _make(self, network: nn.Module, width: int) -> None:
        like = next(network.parameters())
        made = augmenters(width, self._seed)
        self.kept["augmenter"] = {name: value.to(like.device, like.dtype) for name, value in made.items()}
        for table in ("mean", "square"):
            self.kept[table] = {name: torch.zeros_like(value) for name, value in self.kept["augmenter"].items()}
        self.kept["count"] = {"steps": torch.zeros((), device=like.device)}

    def after_step(self, network: nn.Module) -> None:
        """A step of the augmenters on L_m + γR."""
        batch, self._batch = self._batch, None
        assert batch is not None and batch.features is not None
        features = batch.features
        if self.is_updated:
            with torch.no_grad(), self._autocast():
                features = fomo.encode(network, batch)
        weights = {name: value.requires_grad_() for name, value in self.kept["augmenter"].items()}
        with torch.enable_grad():
            value = contrasted(weights, features, self.regularity)
        gradients = torch.autograd.grad(value, list(weights.values()))
        self.log("augmenters", value)
        for each in weights.values():
            each.requires_grad_(False)
        self._adam(dict(zip(weights, gradients, strict=True)))

    @torch.no_grad()
    def _adam(self, gradients: Mapping[str, Tensor]) -> None:
        steps = self.kept["count"]["steps"].add_(1)
        first, second = (1 - beta**steps for beta in BETAS)
        for name, gradient in gradients.items():
            mean = self.kept["mean"][name].lerp_(gradient, 1 - BETAS[0])
            square = self.kept["square"][name].lerp_(gradient.square(), 1 - BETAS[1])
            self.kept["augmenter"][name].sub_(self.lr * (mean / first) / ((square / second).sqrt() + EPSILON))
