"""Memory that grows with tasks, and memory that a hook declares, is paid for."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.budget.cost import Cost
from fomo.config import factory
from fomo.method import Method
from fomo.planning import table
from fomo.planning.rehearsal import _Rehearsal
from fomo.planning.table import row
from fomo.running.run import execute
from fomo.training.methods import Methods
from tests import tiny
from tests.fomo.budget import settings
from tests.fomo.planning.test_rehearsal import case_of, planned_run


class Experts(Method):
    """Keeps a weight of each task ``when`` it says so, at its end or after its first step."""

    def __init__(self, when: Callable[[int], bool] = lambda task: True, in_steps: bool = False) -> None:
        self.kept: list[Tensor] = []
        self.when = when
        self.in_steps = in_steps

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.number = task.number
        self.has_stepped = False

    def _keep(self, network: nn.Module) -> None:
        if self.when(self.number):
            self.kept.append(network.get_parameter("visual.conv1.weight").detach().clone())

    def after_step(self, network: nn.Module) -> None:
        if self.in_steps and not self.has_stepped:
            self._keep(network)
        self.has_stepped = True

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        if not self.in_steps:
            self._keep(network)


class Announced(Experts):
    """Says that it grows."""

    grows_with_tasks = True


SHORT = ("model=pocket", "batch_size=6", "trainable=lnfit")


@pytest.fixture(scope="module")
def plain() -> Cost:
    """Five tasks without a part that keeps anything."""
    return settings.cost(*SHORT, num_samples=[9] * 5)


@pytest.mark.parametrize(
    ("make", "copies"),
    [
        (Experts, 4),
        (partial(Experts, lambda task: task % 2 == 0), 2),
        (partial(Announced, lambda task: task == 4), 1),
        (partial(Experts, in_steps=True), 5),
    ],
)
def test_memory_that_grows_with_tasks_is_that_of_the_last_one(
    make: Callable[[], Method], copies: int, plain: Cost
) -> None:
    """At the peak, in the last of five tasks, the copies of those before it are there, and one of its first step."""
    setting = settings.setting(*SHORT, num_samples=[9] * 5)
    growing = setting.with_part(make).rehearse()
    assert plain.steady and not growing.steady
    copy = setting.make_learner().network.get_parameter("visual.conv1.weight")
    assert growing.peak_bytes - plain.peak_bytes == copies * copy.untyped_storage().nbytes()
    assert [task.ordinary for task in growing.tasks] == [task.ordinary for task in plain.tasks]


def test_the_hooks_alone_are_rehearsed_where_steps_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped: list[int] = []
    plain = _Rehearsal._step

    def step(rehearsal: _Rehearsal, optimizer: torch.optim.Optimizer, task: int, kind: int = 0) -> Any:
        stepped.append(task)
        return plain(rehearsal, optimizer, task, kind)

    monkeypatch.setattr(_Rehearsal, "_step", step)
    settings.setting(*SHORT, num_samples=[9] * 8).with_part(Announced).rehearse()
    assert stepped == [1, 1, 2, 2, 3, 8]


def test_a_table_row_pays_the_memory_of_its_own_number_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings.config_of(*SHORT, "num_tasks=4", "budget=mafs", "budget.total_mafs=30")
    parts = factory.methods
    monkeypatch.setattr(factory, "methods", lambda config: Methods({**parts(config).parts, "extra": Announced()}))
    monkeypatch.setattr(table, "STREAM_LENGTHS", (6,))
    found = row(config, lambda num_tasks: 9)
    memories = [plan.memory.peak_bytes for plan in found.plans.values() if plan.memory]
    assert list(found.plans) == [4, 6] and memories[0] < memories[1] and found.memory.peak_bytes == memories[0]


class Prototypes(Method):
    """Keeps a vector for each concept so far, and looks at where rows are from."""

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        self.means = torch.zeros(len(task.concepts), 1024)

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        for numbers in (batch.labels, batch.tasks, batch.datasets, batch.samples):
            assert numbers.shape == (len(batch.images),) and numbers.dtype == torch.int64
        return loss + 0 * self.means[batch.labels].mean()


def test_a_part_that_grows_with_concepts_is_planned_by_those_of_the_stream() -> None:
    prepared = tiny.prepared()
    pools = prepared.maker.pools
    assert pools.names.until(2) == tuple(prepared.stream.concepts)
    case = case_of(prepared, pools.update_sizes)
    named = replace(case, shape=replace(case.shape, names=pools.names)).with_part(Prototypes).rehearse()
    sizes = [4 * 1024 * len(concepts) for concepts in map(pools.names.until, (1, 2))]
    assert [task.held["end"]["extra"] for task in named.tasks] == sizes and 0 < sizes[0] < sizes[1]


class Teacher(Method):
    """Keeps two copies of the network; ``declared`` are its bytes where it says that its hook costs nothing."""

    def __init__(self, declares: bool = False, declared: Any = None) -> None:
        self.declares = declares
        self.declared = declared

    def begin_run(self, network: nn.Module, seed: int) -> None:
        self.teachers = [copy.deepcopy(network).requires_grad_(False) for _ in range(2)]

    def flops(self, hook: str, network: nn.Module, task: fomo.Task | None) -> int | None:
        return 0 if self.declares and hook == "begin_run" else None

    def held_bytes(self, hook: str, network: nn.Module, task: fomo.Task | None) -> int | None:
        return self.declared if hook == "begin_run" else None


def bytes_of(network: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(each.untyped_storage().nbytes() for each in (*network.parameters(), *network.buffers()))


def test_declared_memory_costs_what_rehearsed_memory_does() -> None:
    setting = settings.setting(*SHORT, num_samples=[9])
    two = 2 * bytes_of(setting.make_learner().network)
    plain, seen, declared, unsaid = (
        setting.with_part(make).rehearse()
        for make in (Method, Teacher, partial(Teacher, True, two), partial(Teacher, True))
    )
    assert declared.peak_bytes == plain.peak_bytes + two and unsaid.peak_bytes == plain.peak_bytes
    assert seen.peak_bytes - declared.peak_bytes in range(100_000), "whole blocks"
    assert declared.tasks[0].held["end"]["extra"] == seen.tasks[0].held["end"]["extra"] == two
    assert declared.declared == {"extra.begin_run"} and not seen.declared


@pytest.mark.parametrize("declared", [-1, 1.5, True])
def test_bytes_are_integers(declared: Any) -> None:
    with pytest.raises(
        fomo.FomoError, match=rf"extra.held_bytes\('begin_run', …\) returned {declared}: integers from 0"
    ):
        settings.setting(*SHORT, num_samples=[9]).with_part(partial(Teacher, True, declared)).rehearse()


def test_what_is_held_and_not_declared_stops_the_run_before_its_first_step(tmp_path: Path) -> None:
    two = 2 * bytes_of(tiny.prepared().model.network)
    execute(planned_run(partial(Teacher, True, two)), tmp_path / "paid", tiny.Silent())
    with pytest.raises(fomo.FomoError, match=rf"task 1, after the hooks at its begin: extra holds {two:,} bytes"):
        execute(planned_run(partial(Teacher, True)), tmp_path / "run", tiny.Silent())
    assert '"step"' not in (tmp_path / "run" / "events.jsonl").read_text()
