"""Curvature against Hessians computed entry by entry, known spectra, and a counter of FLOPs."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

import fomo
from fomo.budget.flops import FlopMeter, Flops
from fomo.method import called_each_time
from fomo.testing.processes import on_ranks
from fomo.training.step import symmetric_loss
from methods.diagnostics import Curvature
from methods.diagnostics.curvature import Hessian, slope
from methods.diagnostics.lanczos import ritz_values
from tests.methods.diagnostics.toy import (
    Small,
    Toy,
    batch,
    flat,
    logged,
    planned,
    small_batches,
    task,
)


def loss_of(network: nn.Module, of: fomo.Batch, flat: Tensor) -> Tensor:
    """The contrastive loss at other parameters [n]."""
    parameters = dict(network.named_parameters())
    pieces = flat.split([each.numel() for each in parameters.values()])
    at = {name: piece.view_as(parameters[name]) for name, piece in zip(parameters, pieces, strict=True)}
    return symmetric_loss(functional_call(network, at, (of.images, of.tokens)))


def explicit(network: nn.Module, of: fomo.Batch) -> Tensor:
    """The Hessian of the contrastive loss [n, n], entry by entry."""
    return hessian(partial(loss_of, network, of), flat(network.parameters()))


def test_extreme_ritz_values_are_the_ends_of_a_known_spectrum() -> None:
    """300 eigenvalues of a rotated diagonal; 40 products."""
    drawn = torch.Generator().manual_seed(0)
    spectrum = torch.cat([torch.tensor([-7.0, 5.0, 9.0]), torch.linspace(-1, 1, 297)]).double()
    rotation = torch.linalg.qr(torch.randn(300, 300, generator=drawn, dtype=torch.float64))[0]
    matrix = rotation @ torch.diag(spectrum) @ rotation.T
    found = ritz_values(lambda vector: matrix @ vector, torch.randn(300, generator=drawn, dtype=torch.float64), 40)
    torch.testing.assert_close(found[[0, -2, -1]], torch.tensor([-7.0, 5.0, 9.0]).double(), atol=1e-9, rtol=0)
    assert found[1] > -1.01 and found[-3] < 1.01, "no eigenvalue is found twice"


def test_vectors_that_run_out_add_no_eigenvalue() -> None:
    matrix = torch.diag(torch.tensor([2.0, 3.0, 5.0, 5.0]))
    first = torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert ritz_values(lambda vector: matrix @ vector, first, 4).tolist() == [3.0] * 4
    of_two = ritz_values(lambda vector: matrix @ vector, torch.tensor([1.0, 0.0, 1.0, 1.0]), 4)
    torch.testing.assert_close(of_two[[0, -1]], torch.tensor([2.0, 5.0]))
    assert ritz_values(torch.zeros_like, first, 3).tolist() == [0.0] * 3


def test_products_are_those_of_a_two_layer_nets_hessian() -> None:
    drawn = torch.Generator().manual_seed(1)
    inputs, targets = (torch.randn(20, 3, generator=drawn, dtype=torch.float64) for _ in range(2))
    first = nn.Parameter(torch.randn(5, 3, generator=drawn, dtype=torch.float64))
    second = nn.Parameter(torch.randn(3, 5, generator=drawn, dtype=torch.float64))
    unused = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def loss(one: Tensor, other: Tensor) -> Tensor:
        return ((inputs @ one.T).tanh() @ other.T - targets).square().mean()

    parts = hessian(loss, (first.detach(), second.detach()))
    whole = torch.cat([torch.cat([b.reshape(15, 15) for b in row], 1) for row in parts])
    product = Hessian(loss(first, second), [first, second, unused])
    columns = torch.stack([product(each) for each in torch.eye(32, dtype=torch.float64)], 1)
    torch.testing.assert_close(columns[:30, :30], whole)
    assert not columns[30:].any() and not columns[:, 30:].any()
    found = ritz_values(product, torch.randn(32, generator=drawn, dtype=torch.float64), 32)
    torch.testing.assert_close(found[[0, -1]], torch.linalg.eigvalsh(whole)[[0, -1]])


def test_curvature_is_that_of_the_explicit_hessian_at_each_size() -> None:
    network = Toy()
    part = Curvature(batch_size=6, num_sizes=3, num_products=61)
    part.begin_task(network, task())
    found = logged(part)
    largest = []
    for size in (6, 12, 24):
        values = torch.linalg.eigvalsh(explicit(network, batch(size)))
        assert found[f"lambda_max_{size}"] == pytest.approx(float(values[-1]))
        assert found[f"lambda_min_{size}"] == pytest.approx(float(values[0]))
        assert found[f"rate_{size}"] == pytest.approx(2 / float(values[-1]))
        largest.append(values[-1])
    assert found["rate_exponent"] == pytest.approx(-float(slope((6, 12, 24), largest)))


def test_adams_is_that_of_the_hessian_between_its_denominators() -> None:
    network = Toy()
    part = Curvature(batch_size=12, num_sizes=1, num_products=61, preconditioner="adam", num_batches=3, eps=1e-3)
    part.begin_task(network, task())
    parameters = flat(network.parameters()).requires_grad_()
    squares = [
        torch.autograd.grad(loss_of(network, batch(12, number), parameters), parameters)[0] ** 2 for number in range(3)
    ]
    scale = (torch.stack(squares).mean(0).sqrt() + 1e-3) ** -0.5
    values = torch.linalg.eigvalsh(scale[:, None] * explicit(network, batch(12)) * scale)
    found = logged(part)
    assert found["lambda_max_12"] == pytest.approx(float(values[-1]))
    assert found["rate_12"] == pytest.approx(38 / float(values[-1])), "Cohen et al. 2022: 38/η for β₁ = 0.9"


def test_the_exponent_is_the_slope_of_a_power_law() -> None:
    laws = {0.5: [8.0, 8 / 2**0.5, 4.0], 1.0: [8.0, 4.0, 2.0], 0.0: [8.0, 8.0, 8.0]}
    for exponent, largest in laws.items():
        assert -float(slope((16, 32, 64), list(torch.tensor(largest, dtype=torch.float64)))) == pytest.approx(
            exponent, abs=1e-6
        )


def test_sizes_that_a_task_has_no_samples_for_are_left_out() -> None:
    part = Curvature(batch_size=6, num_sizes=3, num_products=3)
    part.begin_task(Toy(), task(most=12))
    assert {name for name in logged(part) if "max" in name} == {"lambda_max_6", "lambda_max_12"}
    part.begin_task(Toy(), task(2, most=5))
    assert not logged(part)
    with pytest.raises(fomo.FomoError, match=r"diagnostics.batch_size=6: task 1 has 5 new samples.* Take 5 or fewer"):
        part.begin_task(Toy(), task(1, most=5))


def test_sharpening_is_against_the_first_task_over_a_stop_too() -> None:
    network = Toy()
    part = Curvature(batch_size=6, num_sizes=1, num_products=61)
    part.begin_task(network, task())
    first = logged(part)
    assert first["sharpening_6"] == 1
    other = Curvature(batch_size=6, num_sizes=1, num_products=61)
    other.load_state_dict(network, part.state_dict())
    with torch.no_grad():
        network.logit_scale.add_(0.5)
    other.begin_task(network, task(2))
    found = logged(other)
    assert found["sharpening_6"] == pytest.approx(found["lambda_max_6"] / first["lambda_max_6"])
    assert found["sharpening_6"] > 1.1


def curvature_here() -> dict[str, float]:
    """What this process measures, maybe with others."""
    part = Curvature(batch_size=6, num_sizes=2, num_products=61, preconditioner="adam")
    part.begin_task(Toy(), task())
    return logged(part)


def test_several_processes_measure_what_one_does() -> None:
    for found in on_ranks(2, curvature_here):
        assert found == pytest.approx(curvature_here(), rel=1e-8)


class EachProduct(Curvature):
    """Every product is rehearsed."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        super().begin_task(network, replace(task, alike=called_each_time))


@pytest.mark.parametrize("preconditioner", ["none", "adam"])
def test_a_plan_is_that_of_all_products_though_two_of_each_size_are_rehearsed(
    preconditioner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the FLOP and the byte, at the peak, which is where the basis is: its cost grows from product to product."""
    settings: dict[str, Any] = {"batch_size": 4, "num_sizes": 2, "num_products": 5, "preconditioner": preconditioner}
    sizes: list[int] = []
    product = Hessian.__call__
    monkeypatch.setattr(Hessian, "__call__", lambda self, vector: sizes.append(len(vector)) or product(self, vector))
    whole = planned(EachProduct(**settings))
    assert len(sizes) == 2 * 2 * 5
    sizes.clear()
    assert planned(Curvature(**settings)) == whole
    assert len(sizes) == 2 * 2 * 2
    assert whole.peak_bytes > planned(fomo.Method()).peak_bytes + 5 * 4 * sizes[0]


def begun(part: Curvature) -> Flops:
    """What a rehearsal finds that the first task's begin costs."""
    return planned(part).tasks[0].begin["diagnostics.begin_task"]


def test_what_is_planned_of_products_is_what_a_counter_finds_of_real_ones() -> None:
    part = Curvature(batch_size=4, num_sizes=2, num_products=4)
    meter = FlopMeter()
    with meter("hook"):
        part.begin_task(Small(), fomo.Task(1, 2, 2, 0, 48, small_batches))
    assert meter.phases["hook"] == begun(part)


def test_each_product_is_made_orthogonal_to_one_vector_more_than_the_one_before() -> None:
    """In closed form: to j vectors of n, twice, takes 2·2·2jn FLOPs, so that a product costs 8n more than the last."""
    few, more, most = (begun(Curvature(batch_size=4, num_sizes=1, num_products=m)).counted for m in (2, 3, 4))
    num_parameters = sum(each.numel() for each in Small().parameters())
    assert (most - more) - (more - few) == 8 * num_parameters


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"batch_size": 1}, "diagnostics.batch_size=1: allowed are integers from 2"),
        ({"num_sizes": 0}, "diagnostics.num_sizes=0"),
        ({"num_products": True}, "diagnostics.num_products=True"),
        ({"beta": 1.0}, "diagnostics.beta=1.0"),
        ({"eps": 0.0}, "diagnostics.eps=0.0"),
        ({"preconditioner": "adma"}, "Did you mean 'adam'"),
    ],
)
def test_impossible_settings_of_the_curvature_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(fomo.FomoError, match=text):
        Curvature(**settings)
