"""Verdicts on versions, drivers, threads, clocks and networks, at facts made by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.doctor.facts import Clock, Cpu, Driver, Network, Package
from fomo.doctor.machine import EARLIEST, clock, cpu_threads, driver, load, network, versions
from fomo.doctor.verdict import Level
from tests.fomo.doctor.settings import NOW

GREEN, YELLOW, RED = Level


@pytest.mark.parametrize(
    ("installed", "level"),
    [("2.6.0", GREEN), ("2.11.0+cu128", GREEN), ("2.9.0a0+git1", GREEN), ("2.5.1", RED), (None, RED)],
)
def test_versions_below_the_least_are_red_with_the_command_that_helps(installed: str | None, level: Level) -> None:
    said = versions([Package("python", "3.12.1", ">=3.10"), Package("torch", installed, ">=2.6")])
    assert said.level is level
    assert said.advice == ("" if level is GREEN else "pip install --upgrade 'torch>=2.6'")


def test_an_old_python_is_not_upgraded_by_pip() -> None:
    said = versions([Package("python", "3.9.18", ">=3.10"), Package("torch", "2.9.0", ">=2.6")])
    assert said.level is RED and said.advice == "a newer Python" and "3.9.18" in said.found


@pytest.mark.parametrize(
    ("facts", "level", "word"),
    [
        (Driver("auto", "12.8", "13.0", 8, 8), GREEN, ""),
        (Driver("auto", None, None, 0, 0), GREEN, ""),
        (Driver("cpu", "12.8", "11.4", 1, 0), GREEN, ""),
        (Driver("auto", None, "12.8", 1, 0), RED, "CUDA or ROCm"),
        (Driver("auto", "13.0", "12.4", 1, 0), RED, "update the driver"),
        (Driver("auto", "12.8", "12.4", 1, 0), RED, "CUDA_VISIBLE_DEVICES"),
    ],
    ids=["fits", "no GPU", "not asked for", "torch for the CPU", "driver too old", "hidden"],
)
def test_a_gpu_that_torch_cannot_use_is_red(facts: Driver, level: Level, word: str) -> None:
    said = driver(facts)
    assert said.level is level and word in said.advice


@pytest.mark.parametrize(
    ("num_threads", "num_allowed", "quota", "on_gpu", "level"),
    [
        (8, 8, None, False, GREEN),
        (8, 16, None, False, GREEN),  # one of two hyper-threads
        (1, 16, None, False, YELLOW),
        (1, 16, None, True, GREEN),
        (12, 8, None, False, YELLOW),
        (64, 8, None, True, RED),
        (16, 64, 16.0, False, GREEN),
        (64, 64, 4.0, False, RED),  # a container that sees all cores and may use four
        (2, 64, 1.5, False, GREEN),
    ],
)
def test_threads_are_held_against_affinity_and_quota(
    num_threads: int, num_allowed: int, quota: float | None, on_gpu: bool, level: Level
) -> None:
    said = cpu_threads(Cpu(num_threads, num_allowed, quota, 0.0), on_gpu)
    assert said.level is level and ("OMP_NUM_THREADS" in said.advice) == (level is not GREEN)
    assert ("quota" in said.expected) == (quota is not None)


def test_a_busy_machine_is_yellow() -> None:
    assert load(Cpu(8, 8, None, 3.9)).level is GREEN and load(Cpu(8, 8, None, 4.1)).level is YELLOW
    assert load(Cpu(8, 64, 4.0, 3.0)).level is YELLOW


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (Clock(NOW, NOW - 1, "a", 0.0), GREEN),
        (Clock(NOW, NOW + 30, "a", 0.0), GREEN),  # a file server's clock
        (Clock(NOW, NOW + 3600, "a", 0.0), YELLOW),
        (Clock(NOW, NOW + 7 * 86_400, "a", 0.0), RED),
        (Clock(5.0, 0.0, "a", 0.0), RED),  # 1970
        (Clock(EARLIEST - 1, 0.0, "a", 0.0), RED),
        (Clock(NOW, NOW - 1, "a", 7.0), YELLOW),
        (Clock(NOW, NOW - 1, "a", -7.0), YELLOW),
        (Clock(NOW, NOW - 1, "a", -7200.0), RED),
    ],
)
def test_clocks_that_are_wrong_or_jump(facts: Clock, level: Level) -> None:
    assert clock(facts).level is level


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_clock_further_behind_is_never_better(a: float, b: float) -> None:
    less, more = (clock(Clock(NOW, NOW + behind, "a", 0.0)).level for behind in sorted((a, b)))
    assert less <= more


def test_a_backend_that_fails_is_red_only_where_several_gpus_need_it() -> None:
    assert network(Network("gloo", 0)).level is GREEN
    assert network(Network("gloo", 0, "no interface")).level is YELLOW
    assert network(Network("nccl", 1, "no interface")).level is YELLOW
    assert network(Network("nccl", 8, "no interface")).level is RED
