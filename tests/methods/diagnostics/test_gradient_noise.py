"""The gradient's noise against closed forms and autograd, in a step and after a task."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.method import called_each_time
from fomo.testing.processes import on_ranks
from fomo.testing.world import own_rows
from fomo.training.methods import Methods
from fomo.training.step import Learner, symmetric_loss
from methods.diagnostics import GradientNoise, gradient_noise
from methods.diagnostics.gradient_noise import noise, rows_of
from tests.methods.diagnostics.toy import Distant, Toy, batch, flat, logged, planned, task


class EachPiece(GradientNoise):
    """Every piece is rehearsed."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        super().begin_task(network, replace(task, alike=called_each_time))


@pytest.mark.parametrize("rows", [None, 2])
def test_a_plan_is_that_of_all_pieces_though_two_are_rehearsed(
    rows: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_rows: list[int] = []
    of_piece = gradient_noise.share
    monkeypatch.setattr(
        gradient_noise, "share", lambda *given: num_rows.append(len(given[-1].images)) or of_piece(*given)
    )
    whole = planned(EachPiece(num_pieces=8, rows=rows), 24)
    each = len(num_rows)
    num_rows.clear()
    assert planned(GradientNoise(num_pieces=8, rows=rows), 24) == whole
    assert set(num_rows) == {rows or 3} and 8 * len(num_rows) == 2 * each


@pytest.mark.parametrize(
    ("size", "pieces", "rows", "expected"),
    [
        (8, 2, 2, [[0, 4], [1, 5]]),
        (10, 4, None, [[0, 4], [1, 5], [2, 6], [3, 7]]),
        (3, 8, 4, [[0], [1], [2]]),
    ],
)
def test_pieces_take_every_jth_row(size: int, pieces: int, rows: int | None, expected: list[list[int]]) -> None:
    assert rows_of(size, pieces, rows) == expected


def test_pieces_of_one_row_give_the_test_by_rows() -> None:
    """Against torch.cov: V is the trace of the rows' covariance, and gᵀ cov g the variance of inner products."""
    rows = torch.randn(12, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.4
    gradient = rows.mean(0)
    found = noise([[row / 12, None] for row in rows], [gradient, None], 12, 1)
    covariance = torch.cov(rows.T)
    torch.testing.assert_close(found.variance, covariance.trace())
    torch.testing.assert_close(found.square, gradient @ gradient)
    torch.testing.assert_close(found.inner, gradient @ covariance @ gradient)


def test_pieces_of_a_linear_regression_give_its_closed_forms() -> None:
    """Inputs from N(0, I), noise of deviation s: at an error e of the weights the gradient of a row is x(xᵀe) − xε, of
    mean e and covariance (‖e‖² + s²)I + eeᵀ. The mean over 4,000 batches, from half of the rows."""
    drawn = torch.Generator().manual_seed(0)
    error = torch.tensor([1.0, -0.5, 0.25], dtype=torch.float64)
    deviation = 0.7
    covariance = (error @ error + deviation**2) * torch.eye(3) + torch.outer(error, error)
    sums = torch.zeros(2, dtype=torch.float64)
    for _ in range(4000):
        inputs = torch.randn(16, 3, generator=drawn, dtype=torch.float64)
        residuals = inputs @ error - deviation * torch.randn(16, generator=drawn, dtype=torch.float64)
        given = inputs * residuals[:, None] / 16
        pieces = [[given[rows].sum(0)] for rows in rows_of(16, 4, 2)]
        found = noise(pieces, [given.sum(0)], 16, 2)
        sums += torch.stack([found.variance, found.square - found.variance / 16])
    variance, signal = (sums / 4000).tolist()
    assert variance == pytest.approx(float(covariance.trace()), rel=0.03)
    assert signal == pytest.approx(float(error @ error), rel=0.03)


def with_noise(network: Toy, of: fomo.Batch, **parts: fomo.Method) -> tuple[GradientNoise, dict[str, float]]:
    """A step of all rows beside other parts; the part, and what it has logged."""
    part = GradientNoise(num_pieces=4, rows=None, norm=0.5, inner=0.25)
    methods = Methods({**parts, "noise": part})
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    learner = Learner(network, methods, lambda named: optimizer, 1e9, None, nullcontext)
    methods.begin_run(network, 0)
    methods.each("begin_task", network, learner.task(1, 1, 1, 0))
    return part, {name.removeprefix("noise."): value for name, value in learner.step(optimizer, of).logged.items()}


def test_in_a_step_the_shares_are_those_that_autograd_finds() -> None:
    """Each piece's share by the whole loss, with the features of all other rows detached."""
    network, of = Toy(), batch(12)
    _, found = with_noise(network, of, distant=Distant())
    pieces = []
    for rows in rows_of(12, 4, None):
        images, texts, scale = network(of.images, of.tokens)
        keep = torch.zeros(12, 1, dtype=torch.float64)
        keep[rows] = 1
        own = [keep * side + (1 - keep) * side.detach() for side in (images, texts)]
        loss = symmetric_loss(fomo.Features(own[0], own[1], scale)) + own[0].mean(0).square().sum()
        pieces.append(flat(torch.autograd.grad(loss, [network.image, network.text])) * 12 / 3)
    gradients = torch.stack(pieces)
    whole = flat([network.image.grad, network.text.grad])  # type: ignore[list-item]
    variance = float(3 * gradients.var(0).sum())
    square = float(whole @ whole + network.logit_scale.grad**2)  # type: ignore[operator]
    assert found["variance"] == pytest.approx(variance)
    assert found["square"] == pytest.approx(square)
    assert found["norm_test"] == pytest.approx(variance / (0.25 * square))
    inner = float(3 * (gradients @ whole).var())
    assert found["inner_product_test"] == pytest.approx(inner / (0.0625 * square**2))


def test_after_a_task_the_scale_is_the_ratio_of_means() -> None:
    """Of steps of 12 rows each, the second over a stop."""
    network = Toy()
    part, first = with_noise(network, batch(12))
    other, second = with_noise(network, batch(12, 1))
    joined = GradientNoise(num_pieces=4, rows=None, norm=0.5)
    joined.load_state_dict(network, {"sums": part.state_dict()["sums"] + other.state_dict()["sums"]})
    joined.end_task(network, task())
    found = logged(joined)
    variance = (first["variance"] + second["variance"]) / 2
    square = (first["square"] + second["square"]) / 2
    assert found["variance"] == pytest.approx(variance, rel=1e-5)
    signal = square - variance / 12
    assert found["noise_scale"] == pytest.approx(variance / signal if signal > 0 else float("inf"), rel=1e-5)
    assert found["norm_test"] == pytest.approx(variance / (0.25 * square), rel=1e-5)


class Looking(fomo.Method):
    """Has the whole loss computed once more, at other weights, as a method does that looks around."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.task = task

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        self.batch = batch
        return loss

    def after_backward(self, network: nn.Module) -> None:
        kept = [parameter.grad for parameter in network.parameters()]
        before = [parameter.detach().clone() for parameter in network.parameters()]
        for parameter in network.parameters():
            parameter.grad = None
            parameter.data.add_(0.3)
        self.task.backward(self.batch)
        for parameter, gradient, value in zip(network.parameters(), kept, before, strict=True):
            parameter.grad = gradient
            parameter.data.copy_(value)


def test_it_is_the_steps_own_loss_that_is_measured() -> None:
    assert with_noise(Toy(), batch(12), looking=Looking())[1] == with_noise(Toy(), batch(12))[1]


def noise_here(size: int) -> dict[str, float]:
    """What this process measures in a step of so many rows, of which others may have some."""
    return with_noise(Toy(), own_rows(batch(size)))[1]


@pytest.mark.parametrize("size", [12, 5])
def test_several_processes_find_the_noise_that_one_does(size: int) -> None:
    """With 5 rows most pieces have none of some process's."""
    for processes in (2, 3):
        for found in on_ranks(processes, partial(noise_here, size)):
            assert found == pytest.approx(noise_here(size), rel=1e-6)


@pytest.mark.parametrize("settings", [{"num_pieces": 1}, {"rows": 0}, {"norm": -0.1}, {"inner": float("inf")}])
def test_impossible_settings_of_the_noise_are_refused(settings: dict[str, Any]) -> None:
    (key,) = settings
    with pytest.raises(fomo.FomoError, match=f"diagnostics.{key}="):
        GradientNoise(**settings)


def test_a_network_that_drops_something_is_refused() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.25))
    with pytest.raises(fomo.FomoError, match=r"'1' drops a share of 0.25 at random.*diagnostics=none"):
        GradientNoise().begin_run(network, 0)
