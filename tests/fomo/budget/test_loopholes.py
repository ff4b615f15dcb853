"""Ways to compute for free, each of which is charged or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.budget.flops import FlopMeter, Flops
from fomo.method import Method, period_of
from tests import tiny
from tests.fomo.budget import settings
from tests.fomo.planning.test_rehearsal import WORK, ledger_of, planned_run, work


class _WorksBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        work()
        return grad


class Backward(Method):
    """Works while the loss is differentiated."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return _WorksBackward.apply(loss)  # type: ignore[no-any-return, no-untyped-call]


class Hooked(Method):
    """Works whenever the image tower is called."""

    handle: Any = None

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.handle = network.get_submodule("visual").register_forward_hook(lambda *_: work())

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.handle.remove()


class Wrapped(Method):
    """Puts a forward of its own in the place of the network's."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        plain = type(network).forward

        def forward(*arguments: Any) -> Any:
            work()
            return plain(network, *arguments)

        network.forward = forward  # type: ignore[method-assign]

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        del network.forward


class OnGradient(Method):
    """Works when the temperature's gradient is there."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        scale = network.get_parameter("logit_scale")
        self.handle = scale.register_post_accumulate_grad_hook(lambda _: work())

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.handle.remove()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The ledger of a part that does nothing."""
    return ledger_of(planned_run(Method), tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize("make", [Backward, Hooked, Wrapped, OnGradient])
def test_work_outside_of_hooks_is_planned_and_charged(
    make: Callable[[], Method], plain: dict[str, Any], tmp_path: Path
) -> None:
    ledger = ledger_of(planned_run(make), tmp_path / "run")
    steps = ledger["charged"]["steps"]
    assert ledger["charged"] == ledger["planned"]
    assert ledger["charged"]["flops"] / steps == plain["charged"]["flops"] / plain["charged"]["steps"] + WORK


class Busy(torch.optim.SGD):
    """An optimizer that works when it is made and when gradients are dropped."""

    def __init__(self, parameters: Any) -> None:
        super().__init__([p for _, p in parameters], lr=0.1)
        work()

    def zero_grad(self, set_to_none: bool = True) -> None:
        work()
        super().zero_grad(set_to_none)


def test_an_optimizer_pays_for_its_making_and_for_dropping_gradients() -> None:
    setting = settings.setting("batch_size=6")
    found = setting.with_part(Method).rehearse().tasks[0]
    busy = setting.having(make_optimizer=Busy).rehearse().tasks[0]
    assert "optimizer" not in {**found.begin, **(found.ordinary or {})}
    assert busy.begin["optimizer"] == (busy.ordinary or {})["optimizer"] == Flops(WORK, 0)


class Backwards(fomo.PeriodicOptimizer):
    """Says that it refreshes before it starts."""

    def __init__(self, parameters: Any) -> None:
        super().__init__([p for _, p in parameters], {})
        self.refresh_every = -2


def test_a_period_below_one_is_refused() -> None:
    setting = settings.setting("batch_size=6")
    with pytest.raises(fomo.FomoError, match=r"Backwards.refresh_every=-2: allowed are integers from 1"):
        setting.having(make_optimizer=Backwards).rehearse()


MATRIX, VECTOR = torch.eye(8) + 1, torch.ones(8)


@pytest.mark.parametrize(
    ("compute", "flops"),
    [
        (lambda: MATRIX @ VECTOR, 2 * 8 * 8),
        (lambda: torch.addmv(VECTOR, MATRIX, VECTOR), 2 * 8 * 8),
        (lambda: torch.addbmm(MATRIX, torch.ones(3, 8, 5), torch.ones(3, 5, 8)), 3 * 2 * 8 * 5 * 8),
        (lambda: torch._int_mm(torch.ones(32, 16).to(torch.int8), torch.ones(16, 8).to(torch.int8)), 2 * 32 * 16 * 8),
        (lambda: torch.cdist(torch.ones(40, 4), torch.ones(30, 4)), 2 * 40 * 4 * 30),
        (lambda: torch.linalg.solve(MATRIX, MATRIX[:, :3]), round(2 / 3 * 8**3) + 2 * 8 * 8 * 3),
        (lambda: torch.linalg.solve_triangular(MATRIX.triu(), MATRIX[:, :3], upper=True), 8 * 8 * 3),
        (lambda: torch.cholesky_solve(MATRIX[:, :3], MATRIX.tril()), 2 * 8 * 8 * 3),
        (lambda: torch.linalg.det(MATRIX), round(2 / 3 * 8**3)),
        (lambda: torch.linalg.pinv(torch.ones(12, 5)), 8 * 12 * 5**2 + 20 * 5**3),
        (lambda: torch.fft.fft2(MATRIX), 5 * 64 * (3 + 3)),
        (lambda: torch.fft.rfft(VECTOR), 5 * 8 * 3),
    ],
)
def test_products_in_other_clothes_are_counted(compute: Callable[[], Any], flops: int) -> None:
    meter = FlopMeter()
    with meter("work"):
        compute()
    assert meter.phases["work"].charged == flops


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_an_encoder_layer_costs_the_same_on_its_fast_path(mode: Callable[[], Any]) -> None:
    layer, tokens, meter = (
        nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval(),
        torch.ones(3, 7, 32),
        FlopMeter(),
    )
    with mode(), meter("layer"):
        layer(tokens)
    attention = 3 * 7 * 8 * 32**2 + 3 * 4 * 7**2 * 32
    assert meter.phases["layer"] == Flops(attention + 2 * 2 * 3 * 7 * 32 * 64, 0)


def test_compiled_code_is_counted_as_if_it_were_not() -> None:
    compiled, meter = torch.compile(lambda a: a @ a, backend="eager"), FlopMeter()
    compiled(MATRIX)
    with meter("work"):
        compiled(MATRIX)
    assert meter.phases == {"work": Flops(2 * 8**3, 0)}


@pytest.mark.parametrize(
    ("compute", "name"),
    [
        (lambda: torch.linalg.matrix_exp(MATRIX), "linalg_matrix_exp"),
        (lambda: torch.sparse.mm(MATRIX.to_sparse(), MATRIX), "_sparse_addmm"),
        (lambda: nn.functional.bilinear(MATRIX, MATRIX, torch.ones(2, 8, 8)), "_trilinear"),
    ],
)
def test_what_has_no_formula_is_refused(compute: Callable[[], Any], name: str) -> None:
    with pytest.raises(fomo.FomoError, match=rf"aten.{name}.default has no formula"), FlopMeter()("work"):
        compute()


@pytest.mark.parametrize("technique", ["slerp", "model_stock"])
def test_merges_that_read_angles_can_be_planned(technique: str, tmp_path: Path) -> None:
    overrides = ("method=ema_merge", f"merging.technique={technique}", *tiny.COUNTED, "budget.total_mafs=6")
    ledger = ledger_of(tiny.prepared(*overrides), tmp_path / "run")
    assert ledger["charged"] == ledger["planned"] and ledger["charged"]["steps"] > 0


def test_an_optimizer_that_reads_values_is_refused_in_words() -> None:
    with pytest.raises(fomo.FomoError, match=r"a step of Muon failed while it was rehearsed.*budget=steps"):
        settings.cost("batch_size=6", "optimizer=timm", "optimizer.name=muon")


def test_a_method_that_trains_nothing_needs_no_batch() -> None:
    assert tiny.prepared("method=frozen", *tiny.COUNTED).plan.steps == (0, 0)


class Refreshing(fomo.Method):
    """Says that every so many of its steps cost more."""

    def __init__(self, every: int) -> None:
        self.refresh_every = every


def test_periods_of_parts_are_integers_and_one_for_all() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    parts = {"one": Refreshing(3), "other": Refreshing(3), "none": fomo.Method()}
    assert period_of(optimizer, parts) == 3
    assert period_of(optimizer, {"none": fomo.Method()}) is None
    with pytest.raises(fomo.FomoError, match=r"one every 3, other every 4 steps. Give all of them one period"):
        period_of(optimizer, parts | {"other": Refreshing(4)})
    with pytest.raises(fomo.FomoError, match=r"other\.refresh_every=0: allowed are integers from 1"):
        period_of(optimizer, parts | {"other": Refreshing(0)})
