"""What is planned is what is charged, whatever a method does and wherever it does it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.budget.cost import Cost
from fomo.budget.flops import FlopMeter, charged, counted
from fomo.budget.plan import affordable, plan
from fomo.config import factory
from fomo.method import Method
from fomo.planning import planner
from fomo.planning.planner import rehearsed
from fomo.planning.table import row
from fomo.running.prepared import Prepared
from fomo.running.run import execute
from fomo.training.methods import Methods
from tests import tiny
from tests.fomo.budget import settings
from tests.fomo.budget.test_plan import flops_of

WORK = 2 * 4 * 5 * 6
HOOKS = ("begin_run", "begin_task", "loss", "after_backward", "after_step", "end_task", "deployed")


def work() -> None:
    """A product that has nothing to do with the method."""
    torch.mm(torch.ones(4, 5), torch.ones(5, 6))


class Hider(Method):
    """Works in one hook, ``times`` over."""

    def __init__(self, hook: str, times: int = 1) -> None:
        self.hook, self.times = hook, times

    def _work(self, hook: str) -> None:
        for _ in range(self.times if hook == self.hook else 0):
            work()

    def begin_run(self, network: nn.Module, seed: int) -> None:
        self._work("begin_run")

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self._work("begin_task")

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        self._work("loss")
        return loss

    def after_backward(self, network: nn.Module) -> None:
        self._work("after_backward")

    def after_step(self, network: nn.Module) -> None:
        self._work("after_step")

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        self._work("end_task")

    @contextmanager
    def deployed(self, network: nn.Module) -> Iterator[None]:
        self._work("deployed")
        yield


def planned_run(make: Callable[[], Method], total: float = 20.0) -> Prepared:
    """The tiny run with the part, planned with it."""
    prepared = tiny.prepared("budget=gflops", "budget.steps=null", f"budget.total_gflops={total}")
    sizes = [len(pool) for pool in prepared.maker.pools.updates]
    cost = case_of(prepared, sizes).with_part(make).rehearse()
    assert prepared.plan.memory is not None
    planned = plan(prepared.resolved.config.budget, cost, prepared.plan.memory)
    mixture = replace(prepared.maker.mixture, steps=planned.steps)
    methods = Methods({**prepared.methods.parts, "extra": make()})
    meter = FlopMeter()
    methods.begin_run(prepared.model.network, 0, meter)
    maker = replace(prepared.maker, mixture=mixture)
    return replace(prepared, plan=planned, methods=methods, begin_run=meter.phases, maker=maker)


def case_of(prepared: Prepared, sizes: list[int]) -> settings.Case:
    """What the prepared run was planned by."""
    return settings.case_of(prepared.resolved.config, prepared.model, sizes)


def ledger_of(prepared: Prepared, folder: Path) -> dict[str, Any]:
    """Run it and read its ledger."""
    execute(prepared, folder, tiny.Silent())
    ledger: dict[str, Any] = json.loads((folder / "ledger.json").read_text())
    return ledger


# Costs that are made in different ways; the kit holds every preset to its plan (tests/methods/test_conformance.py).
DIFFERENT = ("finetune", "frozen", "locked_text", "dora", "galore", "zscl", "offline_merge", "lora_ema")
CASES = [(method, "pocket") for method in DIFFERENT]
CASES += [(method, "pocket_resnet") for method in ("lora", "ewc")]


@pytest.mark.parametrize(("method", "model"), CASES)
def test_charged_is_planned_to_the_digit(method: str, model: str, tmp_path: Path) -> None:
    few = ["regularizer.num_samples=20"] if method == "ewc" else []
    prepared = tiny.prepared(f"method={method}", f"model={model}", *tiny.COUNTED, *few)
    ledger = ledger_of(prepared, tmp_path / "run")
    assert ledger["charged"] == ledger["planned"]
    assert method == "frozen" or ledger["charged"]["steps"] > 0
    assert ledger["charged"]["mafs"] <= 30 and ledger["marks"] == []
    assert ledger["left"] == pytest.approx(30 - ledger["charged"]["mafs"])
    for task in ledger["tasks"].values():
        assert task["charged"] == task["planned"] and sum(task["phases"].values()) == task["charged"]["flops"]
        assert task["charged"]["mafs"] <= 15
    assert sum(ledger["phases"].values()) == ledger["charged"]["flops"]
    assert sum(ledger["samples"].values()) == 24 * ledger["charged"]["steps"]


@pytest.mark.parametrize("hook", HOOKS)
def test_work_hidden_in_a_hook_is_planned_and_charged(hook: str, tmp_path: Path) -> None:
    prepared = planned_run(lambda: Hider(hook))
    ledger = ledger_of(prepared, tmp_path / "run")
    steps = ledger["charged"]["steps"]
    times = {"begin_run": 1, "begin_task": 2, "end_task": 2, "deployed": 2}.get(hook, steps)
    assert ledger["phases"][f"extra.{hook}"] == times * WORK
    assert ledger["charged"] == ledger["planned"]


class Twice(Method):
    """Does the whole loss a second time."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return loss + fomo.contrastive(network, batch)


def test_twice_the_work_per_step_gets_half_the_steps() -> None:
    setting = settings.setting("batch_size=24")
    one, two = setting.rehearse(), setting.with_part(Twice).rehearse()
    share = 1000 * charged(one.tasks[0].ordinary or {})
    assert charged(two.tasks[0].ordinary or {}) == 2 * charged(one.tasks[0].ordinary or {})
    assert [affordable(partial(flops_of, each.tasks[0]), share) for each in (one, two)] == [1000, 500]


class Late(Method):
    """Works from the third step on, when the rehearsal is over."""

    steps = 0

    def after_step(self, network: nn.Module) -> None:
        self.steps += 1
        if self.steps > 2:
            work()


def test_work_that_was_not_rehearsed_stops_the_run_and_names_the_hook(tmp_path: Path) -> None:
    prepared = planned_run(Late)
    with pytest.raises(
        fomo.FomoError, match=rf"task 1, in step \d+: extra.after_step cost {WORK / 1e9:.9g} GFLOPs, pla"
    ):
        execute(prepared, tmp_path / "run", tiny.Silent())
    assert not (tmp_path / "run" / "card.json").exists()


class Reader(Method):
    """Reads a value at the end of a task, which fake tensors do not have."""

    def __init__(self, declared: int | None) -> None:
        self.declared = declared

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        if float(next(network.parameters()).detach().abs().sum()) > 0:
            work()

    def flops(self, hook: str, network: nn.Module, task: fomo.Task | None) -> int | None:
        return self.declared if hook == "end_task" else None


def test_a_hook_that_reads_values_is_asked_for_its_flops(tmp_path: Path) -> None:
    with pytest.raises(fomo.FomoError, match=r"extra.end_task \(Reader\) failed while it was rehearsed.*`flops`"):
        planned_run(lambda: Reader(None))
    ledger = ledger_of(planned_run(lambda: Reader(WORK)), tmp_path / "run")
    assert ledger["phases"]["extra.end_task"] == 2 * WORK and ledger["charged"] == ledger["planned"]


class LossReader(Reader):
    """Reads a value in every step, and computes nothing that is counted."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        return loss * float(batch.images.isfinite().all())

    def flops(self, hook: str, network: nn.Module, task: fomo.Task | None) -> int | None:
        return 0 if hook == "loss" else super().flops(hook, network, task)


def test_a_hook_inside_of_a_step_can_declare_too(tmp_path: Path) -> None:
    ledger = ledger_of(planned_run(lambda: LossReader(WORK)), tmp_path / "run")
    assert ledger["phases"]["extra.end_task"] == 2 * WORK


def test_a_false_declaration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(fomo.FomoError, match=r"task 1, at the end of the task: extra.end_task cost"):
        execute(planned_run(lambda: Reader(WORK + 2)), tmp_path / "run", tiny.Silent())


class Growing(Method):
    """Every task does one product more than the one before."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.number = task.number

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        for _ in range(self.number):
            work()
        return loss


def test_tasks_that_cost_more_and_more_are_all_rehearsed() -> None:
    cost = settings.setting("batch_size=6", num_samples=[9] * 6).with_part(Growing).rehearse()
    base = charged(cost.tasks[0].ordinary or {}) - WORK
    assert [charged(task.ordinary or {}) - base for task in cost.tasks] == [WORK * n for n in range(1, 7)]
    assert not cost.steady


def pass_costs(cost: Cost) -> list[int]:
    """FLOPs of the hooks at the end of each task."""
    return [charged(task.end) for task in cost.tasks]


def test_a_pass_over_the_new_data_costs_what_its_batches_cost() -> None:
    sizes = [10, 24, 25, 48, 60, 7]
    overrides = ("method=ewc", "model=pocket", "batch_size=24", "regularizer.batch_size=12")
    cost = settings.cost(*overrides, num_samples=sizes)
    assert cost.depends_on_samples and cost.steady

    def batch(size: int) -> int:
        step = settings.cost("model=pocket", f"batch_size={size}", num_samples=[1]).tasks[0].ordinary
        return counted(step or {})

    full, of_size = batch(12), {size: batch(size % 12) for size in sizes if size % 12}
    assert pass_costs(cost) == [size // 12 * full + of_size.get(size, 0) for size in sizes]


def test_the_cap_of_a_pass_is_kept() -> None:
    overrides = ("method=ewc", "model=pocket", "batch_size=24", "regularizer.batch_size=12")
    capped = settings.cost(*overrides, "regularizer.num_samples=30", num_samples=[60] * 3)
    assert pass_costs(capped) == pass_costs(settings.cost(*overrides, num_samples=[30] * 3))


def test_the_rehearsal_leaves_model_and_global_state_alone() -> None:
    prepared = tiny.prepared()
    before, state = tiny.snapshot(prepared.model.network), torch.get_rng_state()
    case_of(prepared, [60, 60]).rehearse()
    assert not tiny.changed(before, tiny.snapshot(prepared.model.network))
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.requires_grad for p in prepared.model.network.parameters())


def test_the_plan_is_the_same_wherever_it_is_made() -> None:
    """Precision and device of the machine at hand do not enter, unless fp32 is asked for."""
    auto, bf16, fp32 = (
        tiny.prepared(*tiny.COUNTED, f"runtime.precision={precision}").plan for precision in ("auto", "bf16", "fp32")
    )
    assert auto.cost == bf16.cost and auto.memory == bf16.memory != fp32.memory
    assert auto.cost and fp32.cost and auto.cost.tasks == fp32.cost.tasks


def test_a_table_row_plans_what_a_run_plans() -> None:
    overrides = (
        "method=ewc",
        "model=pocket",
        "batch_size=24",
        "num_tasks=2",
        "budget=mafs",
        "budget.total_mafs=30",
    )
    planned = row(settings.config_of(*overrides), lambda num_tasks: 600 // num_tasks)
    assert set(planned.plans) == {2, 20, 50, 100, 200}
    for length in (2, 20):
        cost = settings.cost(*overrides, num_samples=[600 // length] * length)
        found = planned.plans[length].cost
        assert found is not None and pass_costs(found) == pass_costs(cost)
        assert [charged(t.first or {}) for t in found.tasks] == [charged(t.first or {}) for t in cost.tasks]


class Later(Method):
    """Keeps 100 KiB from the end of the first step of the second task on, which costs what the first task's does."""

    kept: Tensor | None = None

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.number = task.number

    def after_step(self, network: nn.Module) -> None:
        if self.number == 2 and self.kept is None:
            self.kept = torch.zeros(25_600)


def test_memory_that_comes_with_the_second_step_of_the_second_task_is_seen() -> None:
    setting = settings.setting("batch_size=512", num_samples=[60, 60])
    assert setting.with_part(Later).rehearse().peak_bytes == setting.rehearse().peak_bytes + 4 * 25_600


def test_what_is_ours_is_rehearsed_once_and_what_is_not_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another budget of the same method has the same cost; another batch, method or setting has its own."""
    rehearsals = []
    rehearse = planner.rehearse
    monkeypatch.setattr(planner, "rehearse", lambda *given: (rehearsals.append(1), rehearse(*given))[1])
    monkeypatch.setattr(planner, "_costs", {})

    def num_rehearsals(*overrides: str) -> int:
        before = len(rehearsals)
        config = settings.config_of("num_tasks=1", "method=frozen", *overrides)
        rehearsed(config, factory.model_shapes(config), [60])
        return len(rehearsals) - before

    assert num_rehearsals() == 1
    assert num_rehearsals("budget=gflops", "budget.total_gflops=7", "seed=3") == 0
    for change in ("batch_size=6", "method=finetune", "model=pocket_resnet", "runtime.precision=fp32", "optimizer=sgd"):
        assert [num_rehearsals(change), num_rehearsals(change)] == [1, 0], change
    guest = (f"regularizer._target_={__name__}.Growing", "runtime.allow_targets=[tests]")
    assert [num_rehearsals(*guest), num_rehearsals(*guest)] == [1, 1]
