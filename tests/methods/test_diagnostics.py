"""Diagnostics: what they measure against closed forms and independent computations, and that they change nothing."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

import fomo
from fomo.budget.cost import Cost
from fomo.budget.flops import FlopMeter, Flops
from fomo.method import called_each_time
from fomo.planning.rehearsal import rehearse
from fomo.planning.shape import StreamShape
from fomo.results.layout import WEIGHTS
from fomo.testing import conformance_of
from fomo.testing.processes import on_ranks
from fomo.testing.world import own_rows
from fomo.training.methods import Methods
from fomo.training.step import Learner, symmetric_loss
from methods.diagnostics import Curvature, GradientNoise, gradient_noise
from methods.diagnostics.curvature import Hessian, slope
from methods.diagnostics.gradient_noise import noise, rows_of
from methods.diagnostics.lanczos import ritz_values
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.running.test_resume import cut_run

BOTH = "diagnostics=[curvature,gradient_noise]"
SMALL = (
    *("diagnostics.curvature.batch_size=4", "diagnostics.curvature.num_sizes=2"),
    *("diagnostics.curvature.num_products=4", "diagnostics.gradient_noise.rows=1"),
)


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


def loss_of(network: nn.Module, of: fomo.Batch, flat: Tensor) -> Tensor:
    """The contrastive loss at other parameters [n]."""
    parameters = dict(network.named_parameters())
    pieces = flat.split([each.numel() for each in parameters.values()])
    at = {name: piece.view_as(parameters[name]) for name, piece in zip(parameters, pieces, strict=True)}
    return symmetric_loss(functional_call(network, at, (of.images, of.tokens)))


def flat(tensors: Any) -> Tensor:
    """One vector."""
    return torch.cat([each.detach().flatten() for each in tensors])


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


class Small(Toy):
    """In fp32, for images [b, 3, 8, 8]; its parameters are much of what is held."""

    context_length = 4

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.ones(4, 3 * 8 * 8, dtype=torch.float64))
        self.float()


class EachProduct(Curvature):
    """Every product is rehearsed."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        super().begin_task(network, replace(task, alike=called_each_time))


class EachPiece(GradientNoise):
    """Every piece is rehearsed."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        super().begin_task(network, replace(task, alike=called_each_time))


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


def small_batches(size: int, max_samples: int | None = None) -> Iterator[fomo.Batch]:
    """A batch for the small network."""
    yield fomo.Batch(torch.randn(size, 3, 8, 8), torch.randint(0, 9, (size, 4)), (0, size, 0))


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


class Distant(fomo.Method):
    """A term on the features, and one on the weights."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        assert batch.features is not None
        return loss + batch.features.images.mean(0).square().sum() + network.get_parameter("text").square().sum()


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


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny run without diagnostics, and with both."""
    folder = tmp_path_factory.mktemp("runs")
    return tiny.run(folder / "plain"), tiny.run(folder / "measured", BOTH, *SMALL)


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    """The events of a kind."""
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


def test_they_change_no_bit_of_weights_and_scores(runs: tuple[Path, Path]) -> None:
    plain, measured = runs
    for file in (str(WEIGHTS), "scores.json", "stream.json"):
        assert (plain / file).read_bytes() == (measured / file).read_bytes(), file


def test_what_they_cost_is_in_the_ledger_and_nothing_else_is_another(runs: tuple[Path, Path]) -> None:
    plain, measured = (json.loads((run / "ledger.json").read_text())["phases"] for run in runs)
    own = {name: flops for name, flops in measured.items() if name.startswith("diagnostics.")}
    assert {name: flops for name, flops in measured.items() if name not in own} == plain
    assert {name.rsplit(".", 1)[1] for name, flops in own.items() if flops} == {"begin_task", "loss", "after_backward"}


def test_what_they_measure_is_in_the_events(runs: tuple[Path, Path]) -> None:
    steps = events(runs[1], "step")
    assert all(step["diagnostics.gradient_noise.variance"] > 0 for step in steps) and len(steps) == 6
    assert all(begun["diagnostics.curvature.lambda_max_4"] > 0 for begun in events(runs[1], "begin_task"))
    assert len(events(runs[1], "begin_task")) == len(events(runs[1], "end_task")) == 2


def test_a_budget_of_flops_pays_for_them(tmp_path: Path) -> None:
    budget = ("budget=gflops", "budget.steps=null", "budget.total_gflops=60")
    plain = json.loads((tiny.run(tmp_path / "plain", *budget) / "ledger.json").read_text())
    run = tiny.run(tmp_path / "run", *budget, BOTH, *SMALL, "runtime.micro_batch=10")
    measured = json.loads((run / "ledger.json").read_text())
    assert measured["charged"] == measured["planned"]
    assert measured["charged"]["steps"] < plain["charged"]["steps"]


def test_a_run_that_was_cut_measures_what_the_whole_one_does(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Cut inside of both tasks: what is measured again where a task is begun again is not written again."""
    often = "checkpoint.every_steps=1"
    assert cut_run(tmp_path / "run", [3, 4], BOTH, *SMALL, often) == 2
    assert not differences(runs[1], tmp_path / "run")


TINIEST = "diagnostics.batch_size=2 diagnostics.num_sizes=1 diagnostics.num_products=2"


@pytest.mark.parametrize(
    "diagnostics",
    [
        f"diagnostics=curvature {TINIEST}",
        f"diagnostics=curvature {TINIEST} diagnostics.preconditioner=adam diagnostics.num_batches=2",
        "diagnostics=gradient_noise diagnostics.rows=1",
        "diagnostics=gradient_noise diagnostics.rows=1 method=lora",
    ],
)
def test_a_diagnostic_conforms(diagnostics: str, device: str) -> None:
    conformance_of(diagnostics.split(), device=device).require()


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


@pytest.mark.parametrize("settings", [{"num_pieces": 1}, {"rows": 0}, {"norm": -0.1}, {"inner": float("inf")}])
def test_impossible_settings_of_the_noise_are_refused(settings: dict[str, Any]) -> None:
    (key,) = settings
    with pytest.raises(fomo.FomoError, match=f"diagnostics.{key}="):
        GradientNoise(**settings)


@pytest.mark.parametrize("name", ["curvature", "gradient_noise"])
def test_where_nothing_is_trained_there_is_nothing_to_measure(name: str, tmp_path: Path) -> None:
    with pytest.raises(fomo.FomoError, match=r"nothing is trained.*diagnostics=none"):
        tiny.run(tmp_path / "run", "method=frozen", f"diagnostics={name}")


def test_a_network_that_drops_something_is_refused() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.25))
    with pytest.raises(fomo.FomoError, match=r"'1' drops a share of 0.25 at random.*diagnostics=none"):
        GradientNoise().begin_run(network, 0)
