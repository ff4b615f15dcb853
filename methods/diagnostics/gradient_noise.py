"""How noisy the gradient of a step is: the gradient noise scale (McCandlish et al. 2018, arXiv 1812.06162), and the
norm test and inner-product test of AdAdaGrad (Lau et al. 2024, arXiv 2402.11215; Bollapragada et al. 2018, 1710.11258).

A batch of b rows has the gradient g, its rows a covariance Σ. With V = tr Σ and G what g estimates, E‖g‖² = ‖G‖² + V/b:

    noise scale B = V/‖G‖²,  norm test: b' = V/(η²‖g‖²),  inner-product test: b' = Var⟨g_i, g⟩/(θ²‖g‖⁴),

a test asking for batches of b' at least. Up to the bias of ‖g‖² the norm test asks for B/η².

Rows of a contrastive batch are coupled, so that a row has no gradient of its own. It has a share in the batch's,
c_i = dL/df_i · df_i/dθ through its features f_i (GradCache, Gao et al. 2021, 2101.06983), and Σc_i is g but for what
reaches θ beside features, as penalties and the temperature do, which add no noise. J pieces of r rows have the means
g_j = (b/r)·Σc_i, and

    V = r/(J−1)·Σ‖g_j − ḡ‖²,  Var⟨g_i, g⟩ = r/(J−1)·Σ(⟨g_j, g⟩ − mean)²,

which with r = 1 and J = b is the test by rows. The rows of a batch push one another, so that their shares are not
independent: V/b is more than the variance of g, on the pocket 1.2 and 1.3 times at b = 24 and 96 (24 batches each, at
the base model's weights). So batches that are asked for are somewhat too large, and ‖G‖² comes out too small.

What differs: separate small batches would be another loss, with fewer negatives, so V is not taken from those; the
reference adds the inner products up tensor by tensor, which loses the terms between tensors, here they are of the whole
gradient; g has the terms of all parts, as they leave it. A piece has every J-th row, so that it is mixed as the batch
is: a batch has its exact share of rows of each pool, and what the pools differ by is no noise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

import fomo
from methods.diagnostics.settings import check_count, check_positive, trained


class Piece(NamedTuple):
    """Some rows of a batch, and the gradient of the loss at their features [r, d], where there is one.

    Of several processes each has its own of them, with gradients that are N times as large: the mean over N is the sum.
    """

    images: Tensor
    tokens: Tensor
    gradients: tuple[Tensor | None, Tensor | None]


class Noise(NamedTuple):
    """Of one step, tensors without dimensions: V, ‖g‖², and the variance of ⟨g_i, g⟩."""

    variance: Tensor
    square: Tensor
    inner: Tensor


def rows_of(num_rows: int, num_pieces: int, rows: int | None) -> list[list[int]]:
    """The rows of each piece: every J-th of the batch, or ``rows`` of these that are spread over it.

    J is ``num_pieces``, and no more than the batch has rows.
    """
    number = min(num_pieces, num_rows)
    most = num_rows // number
    taken = min(rows or most, most)
    return [[piece + number * (each * most // taken) for each in range(taken)] for piece in range(number)]


def piece_of(batch: fomo.Batch, rows: Sequence[int], gradients: Sequence[Tensor | None]) -> Piece:
    """A piece of a batch; a process that has none of its rows has another one, with a gradient of 0.

    Args:
        batch: The batch.
        rows: Numbers of rows of the whole batch.
        gradients: That of the loss at the features of all rows [n, d], of images and of texts.
    """
    at = [number for number, row in enumerate(batch.rows) if row in rows]
    factor = batch.rows.step if at else 0
    at = at or [0]
    images, texts = (_some(each, [batch.rows[number] for number in at], factor) for each in gradients)
    return Piece(batch.images[at], batch.tokens[at], (images, texts))


def _some(gradient: Tensor | None, rows: list[int], factor: int) -> Tensor | None:
    return None if gradient is None else factor * gradient[rows]


def share(
    network: nn.Module,
    parameters: Sequence[nn.Parameter],
    autocast: Callable[[], AbstractContextManager[None]],
    piece: Piece,
) -> list[Tensor | None]:
    """Σ c_i over the rows of a piece, by parameter: the rows are encoded again, and given their features' gradient.

    Args:
        network: What encodes them.
        parameters: Those that are trained.
        autocast: Opens the precision that the rows are encoded in.
        piece: The rows, with the gradient at their features.
    """
    with torch.enable_grad(), autocast():
        found = network(piece.images, piece.tokens)[:2]
    reached = [(side, its.to(side.dtype)) for side, its in zip(found, piece.gradients, strict=True) if its is not None]
    sides, gradients = zip(*reached, strict=True)
    return list(fomo.averaged(torch.autograd.grad(sides, parameters, gradients, allow_unused=True)))


def noise(
    found: Iterable[Sequence[Tensor | None]], gradient: Sequence[Tensor | None], num_rows: int, rows: int
) -> Noise:
    """What the shares of J pieces in a batch's gradient say of its noise.

    Args:
        found: Σ c_i of each piece, by parameter; they may be made one after the other, and are not kept.
        gradient: g, by parameter.
        num_rows: b.
        rows: r.
    """
    total: list[Tensor | None] = [None] * len(gradient)
    squares = []
    products = []
    for piece in found:
        squares.append(dot(piece, piece))
        products.append(dot(piece, gradient))
        total = [each if so_far is None else _sum(so_far, each) for so_far, each in zip(total, piece, strict=True)]
    number = len(squares)
    scale = rows * (num_rows / rows) ** 2
    variance = scale * (torch.stack(squares).sum() - dot(total, total) / number) / (number - 1)
    return Noise(variance, dot(gradient, gradient), scale * torch.stack(products).var())


def dot(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> Tensor:
    """The inner product of two gradients; what is ``None`` is 0."""
    terms = [(a * b).sum() for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    return torch.stack(terms).sum()


def _sum(one: Tensor, other: Tensor | None) -> Tensor:
    return one if other is None else one + other


class GradientNoise(fomo.Method):
    """Logs in every step how noisy its gradient is, and after each task what its steps say together.

    ``variance`` V and ``square`` ‖g‖² of each step, and after the task the means of both; ``norm_test`` and
    ``inner_product_test``, the batch that each asks for; after the task alone ``noise_scale`` B, from the means,
    infinite (``null`` in the events) where the mean of ‖g‖² − V/b, which stands for ‖G‖², is not above 0.

    Args:
        num_pieces: J, pieces of a batch whose gradients are compared; no more than the batch has rows.
        rows: r, rows of a piece; ``None``: as many as there are. They are encoded and learned from a second time, so
            that J·r of b rows cost that share of the step.
        norm: η of the norm test.
        inner: θ of the inner-product test.

    Raises:
        FomoError: a setting without meaning.
    """

    group = "diagnostics"
    batch_tests = ("norm_test", "inner_product_test")

    def __init__(self, num_pieces: int = 8, rows: int | None = 4, norm: float = 0.1, inner: float = 0.1) -> None:
        check_count("num_pieces", num_pieces, 2)
        if rows is not None:
            check_count("rows", rows, 1)
        check_positive("norm", norm)
        check_positive("inner", inner)
        self.num_pieces = num_pieces
        self.rows = rows
        self.norm = norm
        self.inner = inner
        self._task: fomo.Task | None = None
        self._batch: fomo.Batch | None = None
        self._pieces: list[Piece] = []
        self._sums = torch.zeros(5)

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Refuse a network that does not encode a row twice alike.

        Raises:
            FomoError: it has dropout.
        """
        found = fomo.dropping(network)
        if found:
            raise fomo.FomoError(
                f"diagnostics=gradient_noise: {found} at random, so that rows are not encoded twice alike. Take "
                "diagnostics=none, or a model without dropout."
            )

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Count from here on.

        Raises:
            FomoError: nothing is trained.
        """
        self._sums = torch.zeros(5, device=next(iter(trained(network).values())).device)
        self._task = task

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss as it is; its gradient at the features of the pieces is kept, of a step's own loss alone."""
        if self._batch is None or self._batch.images is not batch.images:
            self._batch = batch
            self._pieces = self._of(batch, loss)
        return loss

    def _of(self, batch: fomo.Batch, loss: Tensor) -> list[Piece]:
        assert batch.features is not None
        sides = batch.features[:2]
        reached = [side for side in sides if side.requires_grad]
        if not reached:
            raise fomo.FomoError(
                "diagnostics=gradient_noise: nothing that is trained reaches the features. Take diagnostics=none."
            )
        found = iter(fomo.averaged(torch.autograd.grad(loss, reached, retain_graph=True, materialize_grads=True)))
        gradients = [next(found) if side.requires_grad else None for side in sides]
        return [piece_of(batch, rows, gradients) for rows in rows_of(batch.num_rows, self.num_pieces, self.rows)]

    def after_backward(self, network: nn.Module) -> None:
        """Compare the pieces' shares in the gradient, which stays as it is."""
        assert self._task is not None and self._batch is not None
        parameters = list(trained(network).values())
        share_of = self._task.alike(partial(share, network, parameters, self._task.autocast))
        found = noise(
            map(share_of, self._pieces),
            [parameter.grad for parameter in parameters],
            num_rows=self._batch.num_rows,
            rows=len(rows_of(self._batch.num_rows, self.num_pieces, self.rows)[0]),
        )
        signal = found.square - found.variance / self._batch.num_rows
        self._sums = self._sums + torch.stack([*found, signal, torch.ones_like(signal)])
        self._say(found)
        self._forget()

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Say what the steps of the task say together."""
        *sums, signal, num_steps = self._sums.unbind()
        means = Noise(*(each / num_steps for each in sums))
        scale = means.variance * num_steps / signal
        self.log("noise_scale", torch.where(signal > 0, scale, torch.inf))
        self._say(means)
        self._forget()

    def _say(self, of: Noise) -> None:
        self.log("variance", of.variance)
        self.log("square", of.square)
        self.log("norm_test", of.variance / (self.norm**2 * of.square))
        self.log("inner_product_test", of.inner / (self.inner**2 * of.square**2))

    def _forget(self) -> None:
        self._batch = None
        self._pieces = []

    def state_dict(self) -> dict[str, Tensor]:
        """Sums over the task's steps: V, ‖g‖², the variance of inner products, ‖g‖² − V/b, and 1."""
        return {"sums": self._sums}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Go on from the sums."""
        self._sums = state["sums"].to(next(network.parameters()).device)
