"""Extreme eigenvalues of the batch Hessian, and the learning rate that they allow (Granziol et al. 2022, "Learning
Rates as a Function of Batch Size: A Random Matrix Theory Approach to Neural Network Training", arXiv 2006.09092).

The Hessian of a batch of b is that of all data plus noise, so that its largest eigenvalue is

    λ(b) = λ₁ + σ²P/(bλ₁) where λ₁ stands out of the noise, else 2σ√(P/b),

σ² the variance of an entry, P parameters; gradient descent is stable below η(b) = 2/λ(b). So η grows with b by an
exponent from 0 (λ₁ alone counts) over ½ (noise alone) to 1, which here is the slope of log η over log b. For Adam λ is
that of D^−½HD^−½, D = √n + ε, n the mean square of the gradients of some batches, which Adam's second moment approaches
while weights hardly move; and η(b) = 2(1 + β₁)/((1 − β₁)λ(b)) (Cohen et al. 2022, arXiv 2207.14484).

What differs: the loss of b pairs is contrastive, so that b changes the task too, by its negatives; batches are of D_t,
not of the mixture; extreme eigenvalues are Ritz values of m products (``lanczos.py``), hence bounds from inside; noise
and λ₁ are not told apart, which takes the bulk of the spectrum.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import fomo
from methods.diagnostics.lanczos import ritz_values
from methods.diagnostics.settings import check_count, check_positive, trained
from methods.regularizers.ewc import fisher

PRECONDITIONERS = ("none", "adam")


def twice_differentiable() -> AbstractContextManager[None]:
    """While open, attention is made of plain products: fused attention has no second derivative."""
    return sdpa_kernel(SDPBackend.MATH)


class Hessian:
    """The Hessian of a loss at parameters as products with vectors; the graph of the gradient is kept for them.

    Args:
        loss: A tensor without dimensions.
        parameters: Of all of which it is the Hessian, one after the other.
        scales: s [n]: the product is that of diag(s) H diag(s); ``None``: of H.
    """

    def __init__(self, loss: Tensor, parameters: Sequence[nn.Parameter], scales: Tensor | None = None) -> None:
        self._parameters = parameters
        self._scales = scales
        gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        # what the loss does not reach, or reaches in a straight line, has no second derivative
        self._reached = [(at, each) for at, each in enumerate(gradients) if each is not None and each.requires_grad]

    def __call__(self, vector: Tensor) -> Tensor:
        """The product [n] with a vector [n]."""
        scaled = vector if self._scales is None else self._scales * vector
        pieces = scaled.split([parameter.numel() for parameter in self._parameters])
        found = torch.autograd.grad(
            [gradient for _, gradient in self._reached],
            self._parameters,
            [pieces[at].view_as(gradient) for at, gradient in self._reached],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        product = torch.cat([each.flatten() for each in fomo.averaged(found)])
        return product if self._scales is None else self._scales * product


class Curvature(fomo.Method):
    """Logs extreme eigenvalues of the batch Hessian where each task begins, and the learning rates that they allow.

    Of batches of b, 2b, 4b, …, as many as D_t has samples for: ``lambda_max_SIZE``, ``lambda_min_SIZE`` and
    ``rate_SIZE``; ``sharpening_SIZE``, λ over that of the first task; and of several sizes ``rate_exponent``, 0 where
    larger batches allow no larger rate. It is computed in fp32, whatever the precision of the run.

    Args:
        batch_size: b, the smallest batch.
        num_sizes: How many sizes, each twice the one before.
        num_products: m, products with the Hessian for each size; m vectors as large as the model are held meanwhile.
        preconditioner: ``none``: the rate is that of gradient descent; ``adam``: of Adam.
        num_batches: Batches that Adam's second moment is taken from, at most.
        beta: β₁ of Adam.
        eps: ε of Adam.

    Raises:
        FomoError: a setting without meaning.
    """

    group = "diagnostics"

    def __init__(
        self,
        batch_size: int = 16,
        num_sizes: int = 3,
        num_products: int = 8,
        preconditioner: str = "none",
        num_batches: int = 8,
        beta: float = 0.9,
        eps: float = 1e-8,
    ) -> None:
        check_count("batch_size", batch_size, 2)
        check_count("num_sizes", num_sizes, 1)
        check_count("num_products", num_products, 2)
        check_count("num_batches", num_batches, 1)
        check_positive("eps", eps)
        if not 0 <= beta < 1:
            raise fomo.FomoError(f"diagnostics.beta={beta}: allowed are 0 to 1, without 1.")
        if preconditioner not in PRECONDITIONERS:
            raise fomo.unknown("value of diagnostics.preconditioner", preconditioner, PRECONDITIONERS)
        self.sizes = [batch_size * 2**number for number in range(num_sizes)]
        self.num_products = num_products
        self.num_batches = num_batches
        self.is_for_adam = preconditioner == "adam"
        self.stable = 2 * (1 + beta) / (1 - beta) if self.is_for_adam else 2.0
        self.eps = eps
        self._first: dict[str, Tensor] = {}

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Measure at the weights that the task starts from, on its new data.

        Raises:
            FomoError: it is the first, which later ones are compared with, and has fewer samples than any batch.
        """
        sizes = [size for size in self.sizes if size <= task.num_update_samples]
        if not sizes and task.number == 1:
            raise fomo.FomoError(
                f"diagnostics.batch_size={self.sizes[0]}: task 1 has {task.num_update_samples:,} new samples, so that "
                f"nothing would be measured. Take {task.num_update_samples} or fewer."
            )
        largest = [self._measured(network, task, size) for size in sizes]
        if len(sizes) > 1:
            self.log("rate_exponent", slope(sizes, largest).neg())

    def _measured(self, network: nn.Module, task: fomo.Task, size: int) -> Tensor:
        """Log what a batch of a size shows; its largest eigenvalue, without dimensions."""
        values = eigenvalues(network, task, size, self.num_products, self._scales(network, task, size))
        largest = values[-1]
        self.log(f"lambda_max_{size}", largest)
        self.log(f"lambda_min_{size}", values[0])
        self.log(f"rate_{size}", torch.where(largest > 0, self.stable / largest, torch.inf))
        first = self._first.setdefault(str(size), largest.clone())
        self.log(f"sharpening_{size}", largest / first.to(largest))
        return largest

    def _scales(self, network: nn.Module, task: fomo.Task, size: int) -> Tensor | None:
        """D^−½ [n] of Adam; ``None`` without."""
        if not self.is_for_adam:
            return None
        num_batches = min(self.num_batches, task.num_update_samples // size)
        squares = fisher(network, task.update_batches(size, size * num_batches))
        return (torch.cat([each.flatten() for each in squares.values()]).sqrt() + self.eps).rsqrt()

    def state_dict(self) -> dict[str, Tensor]:
        """The largest eigenvalue of each size when it was first measured."""
        return dict(self._first)

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Compare with what was measured first, in whatever process."""
        self._first = dict(state)


def eigenvalues(
    network: nn.Module, task: fomo.Task, size: int, num_products: int, scales: Tensor | None = None
) -> Tensor:
    """Ritz values of the Hessian of the contrastive loss of one batch of D_t, in ascending order.

    Args:
        network: At whose weights, for the parameters that are trained.
        task: The task, whose seed and number the first vector is drawn from.
        size: Rows of the batch.
        num_products: How many; there are no more than parameters.
        scales: s [n], for the Hessian between diag(s); ``None``: 1.
    """
    parameters = list(trained(network).values())
    num_parameters = sum(parameter.numel() for parameter in parameters)
    drawn = torch.Generator().manual_seed(fomo.rng.fold(task.seed, "curvature", task.number, size) % 2**63)
    start = torch.randn(num_parameters, generator=drawn).to(parameters[0])
    for batch in task.update_batches(size, size):  # one
        with twice_differentiable():
            product = Hessian(fomo.contrastive(network, batch), parameters, scales)
        values = ritz_values(task.alike(product), start, min(num_products, num_parameters))
    return values


def slope(sizes: Sequence[int], largest: Sequence[Tensor]) -> Tensor:
    """The least-squares slope of log λ over log b, without dimensions; NaN where a λ is not above 0."""
    logs = torch.stack(list(largest)).log()
    at = torch.tensor(sizes, dtype=logs.dtype).log().to(logs.device)
    at = at - at.mean()
    return (at * logs).sum() / at.square().sum()
