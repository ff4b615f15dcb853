"""Verdicts on memory, disks and limits, at facts made by hand; the whole examination."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.doctor import room
from fomo.doctor.examine import examine
from fomo.doctor.facts import Disk, ProcessLimits
from fomo.doctor.verdict import Level, Verdict, duration, rate, size
from tests.fomo.doctor.settings import CPU, FACTS, GIB, H100, JOB

GREEN, YELLOW, RED = Level
ON_CPU = replace(JOB, device="cpu")


def test_memory_of_the_host_holds_the_steps_of_a_cpu_job_alone() -> None:
    assert room.memory(6 * GIB, JOB).level is GREEN and room.memory(4 * GIB, JOB).level is YELLOW
    assert room.memory(3 * GIB, JOB).level is RED
    assert room.memory(6 * GIB, ON_CPU).level is RED and room.memory(45 * GIB, ON_CPU).level is YELLOW
    assert room.memory(60 * GIB, ON_CPU).level is GREEN


def test_memory_of_a_gpu() -> None:
    assert room.gpu_memory(CPU, ON_CPU) is None
    for free, level in ((79, GREEN), (45, YELLOW), (24, RED)):
        said = room.gpu_memory(replace(H100, free_bytes=free * GIB), JOB)
        assert said and said.level is level


def test_a_peak_that_nobody_knows_is_yellow_and_says_why() -> None:
    unknown = replace(ON_CPU, peak_bytes=None, untried="regularizer.loss failed.")
    assert room.memory(60 * GIB, unknown).level is YELLOW and "regularizer.loss" in room.memory(GIB, unknown).advice
    said = room.gpu_memory(H100, replace(JOB, peak_bytes=None))
    assert said and said.level is YELLOW
    assert room.memory(60 * GIB, replace(unknown, device="cuda")).level is GREEN


def test_disk_space_is_that_of_the_checkpoints_and_the_weights() -> None:
    needed = 3 * 3 * JOB.weights_bytes + JOB.weights_bytes  # two kept, one being written; Adam's moments; the result
    for free, level in ((2 * needed + GIB, GREEN), (needed, YELLOW), (needed - 1, RED), (0, RED)):
        assert room.disk_space(Disk("/runs", free), JOB).level is level
    assert room.cache_space(Disk("/cache", 0)).level is RED


def test_shared_memory_is_needed_by_workers_alone() -> None:
    limits = ProcessLimits(1024, 1024, 64 * 2**20)  # what docker gives
    said = room.shared_memory(limits, JOB)
    assert said and said.level is RED and "--shm-size" in said.advice
    assert room.shared_memory(limits, replace(JOB, num_workers=0)) is None
    assert room.shared_memory(replace(limits, shared_memory=None), JOB) is None


def test_open_files_grow_with_the_workers() -> None:
    limits = ProcessLimits(1024, 4096, None)
    assert room.open_files(limits, replace(JOB, num_workers=0)).level is GREEN
    assert room.open_files(limits, replace(JOB, num_workers=8)).level is YELLOW
    said = room.open_files(limits, replace(JOB, num_workers=32))
    assert said.level is RED and said.advice == "ulimit -n 4096"


CHECKS: dict[str, Callable[[int], Verdict | None]] = {
    "memory": lambda n: room.memory(n, ON_CPU),
    "GPU memory": lambda n: room.gpu_memory(replace(H100, free_bytes=n), JOB),
    "disk space": lambda n: room.disk_space(Disk("/runs", n), JOB),
    "cache space": lambda n: room.cache_space(Disk("/cache", n)),
    "shared memory": lambda n: room.shared_memory(ProcessLimits(1024, 1024, n), JOB),
    "open files": lambda n: room.open_files(ProcessLimits(n, 2**40, None), JOB),
}


@pytest.mark.parametrize("check", CHECKS)
@given(st.integers(0, 2**37), st.integers(0, 2**37))
def test_more_room_is_never_worse(check: str, a: int, b: int) -> None:
    less, more = (CHECKS[check](value) for value in sorted((a, b)))
    assert less and more and more.level <= less.level


def test_a_machine_on_which_all_is_well_is_green_throughout() -> None:
    verdicts = examine(FACTS)
    assert {verdict.level for verdict in verdicts} == {GREEN} and not any(verdict.advice for verdict in verdicts)
    assert len({verdict.check for verdict in verdicts}) == len(verdicts) == 22


def test_a_job_that_cannot_be_built_is_red_and_the_machine_is_examined_all_the_same() -> None:
    verdicts = {each.check: each for each in examine(replace(FACTS, job=None, refusal="dataset 'x' is not here."))}
    assert verdicts["job"].level is RED and verdicts["job"].advice == "dataset 'x' is not here."
    assert verdicts["matmul bf16"].level is GREEN and "memory" not in verdicts


def test_no_verdict_without_advice_but_green_ones() -> None:
    with pytest.raises(ValueError, match="advice"):
        Verdict("clock", "1970", "now", RED)
    with pytest.raises(ValueError, match="advice"):
        Verdict("clock", "now", "now", GREEN, "set it")


def test_numbers_as_people_read_them() -> None:
    assert [size(n) for n in (512, 64 * 2**20, 1.5 * GIB, 2 * 2**40)] == ["0.5 KiB", "64 MiB", "1.5 GiB", "2 TiB"]
    assert [duration(n) for n in (0.117, 77, 200, 32_640, 5e6)] == ["0.12 s", "77 s", "3.3 min", "9.1 h", "1,389 h"]
    assert [rate(n, "B") for n in (5, 12_300, 4.8e12)] == ["5 B/s", "12.3 kB/s", "4.8 TB/s"]
