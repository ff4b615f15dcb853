"""Verdicts on speed, at facts made by hand."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.doctor import rates
from fomo.doctor.facts import Compute, Disk, Rate
from fomo.doctor.verdict import Level, Verdict
from tests.fomo.doctor.settings import CPU, FACTS, H100, JOB

GREEN, YELLOW, RED = Level


def at(share: float) -> Compute:
    """A GPU whose every rate is ``share`` of the listed."""
    listed = {"fp32": 66.9e12, "bf16": 989.4e12}
    products = {precision: Rate(share * peak, peak, "datasheet") for precision, peak in listed.items()}
    return replace(
        H100,
        matmul=products,
        copy=Rate(share * 3.35e12, 3.35e12, "d"),
        upload=Rate(share * 64e9, 64e9, "d"),
    )


@pytest.mark.parametrize(("share", "level"), [(0.8, GREEN), (0.5, YELLOW), (0.4, RED), (0.05, RED)])
def test_a_throttled_gpu(share: float, level: Level) -> None:
    said = rates.matmul("bf16", at(share))
    assert said.level is level and f"{share:.0%}" in said.found and ("nvidia-smi" in said.advice) == (level > GREEN)


def test_copies_are_held_against_the_table() -> None:
    compute = at(0.3)
    assert compute.upload is not None
    assert rates.copy(compute).level is RED and rates.upload(compute.upload, compute).level is YELLOW
    assert rates.copy(H100).level is GREEN and "60% of 3.35 TB/s" in rates.copy(H100).expected


def test_what_is_not_listed_is_yellow_on_a_gpu_and_green_on_a_cpu() -> None:
    unknown = replace(H100, name="Some Accelerator 9000", matmul={"bf16": Rate(1e12)})
    said = rates.matmul("bf16", unknown)
    assert said.level is YELLOW and "Some Accelerator 9000" in said.advice
    assert rates.matmul("bf16", CPU).level is GREEN


def test_a_device_on_which_the_precision_of_the_job_does_not_run() -> None:
    without = replace(H100, matmul={"fp32": H100.matmul["fp32"]})
    assert rates.matmul("bf16", without).level is RED and rates.bf16(without).level is RED
    assert rates.bf16(without).advice == "runtime.precision=fp32"
    in_fp32 = replace(without, precision="fp32")
    assert rates.matmul("bf16", in_fp32).level is YELLOW and rates.bf16(in_fp32).level is GREEN


def test_bf16_that_is_emulated_or_slow() -> None:
    emulated = replace(H100, native_bf16=False)
    assert rates.bf16(H100).level is GREEN and rates.bf16(emulated).level is RED
    assert rates.bf16(replace(emulated, precision="fp32")).level is GREEN
    slow = replace(CPU, precision="bf16", matmul={"fp32": Rate(2e11), "bf16": Rate(1e10)})
    assert rates.bf16(slow).level is YELLOW and rates.bf16(replace(slow, precision="fp32")).level is GREEN


def test_a_slow_disk_and_one_that_cannot_be_written() -> None:
    assert rates.disk_speed(FACTS.run_disk, JOB).level is GREEN
    assert rates.disk_speed(replace(FACTS.run_disk, write=30e6), None).level is YELLOW
    assert rates.disk_speed(replace(FACTS.run_disk, write=2e6), None).level is RED
    said = rates.disk_speed(Disk("/runs", 0, problem="Read-only file system"), JOB)
    assert said.level is RED and said.found == "Read-only file system" and "/runs" in said.advice


def test_checkpoints_that_take_longer_than_their_interval() -> None:
    large = replace(JOB, weights_bytes=20 * 10**9)  # 60 GB: 200 s at 300 MB/s
    disk = replace(FACTS.run_disk, write=300e6)
    assert rates.disk_speed(disk, JOB).level is GREEN and rates.disk_speed(disk, large).level is YELLOW
    assert rates.disk_speed(disk, replace(large, checkpoint_minutes=1.0)).level is RED
    assert rates.disk_speed(disk, replace(large, checkpoint_minutes=None)).level is GREEN


@pytest.mark.parametrize(
    ("device", "num_workers", "ratio", "level"),
    [
        ("cuda", 4, 3.1, GREEN),
        ("cuda", 4, 1.1, YELLOW),
        ("cuda", 4, 0.9, RED),
        ("cuda", 0, 3.1, YELLOW),  # training stands still while a batch is made
        ("cuda", 0, 5.0, GREEN),
        ("cpu", 0, 1.3, GREEN),
    ],
)
def test_loading_against_training(device: str, num_workers: int, ratio: float, level: Level) -> None:
    job = replace(JOB, device=device, num_workers=num_workers, loading_seconds=0.25, step_seconds=0.25 * ratio)
    said = rates.loading(job, 16)
    assert said and said.level is level and f"{ratio:g} × as fast" in said.found
    assert ("runtime.num_workers=" in said.advice) == (level is not GREEN)


def test_the_number_of_workers_that_is_advised() -> None:
    slow = replace(JOB, num_workers=2, loading_seconds=1.0, step_seconds=0.5)  # half of what is needed
    said, cramped = rates.loading(slow, 16), rates.loading(slow, 4)
    assert said and said.advice == "runtime.num_workers=6"  # 2 workers ÷ 0.5 × 1.5
    assert cramped and "runtime.num_workers=4, and smaller images" in cramped.advice


def test_a_job_that_trains_nothing_or_was_not_tried() -> None:
    assert rates.loading(replace(JOB, step_seconds=None, loading_seconds=None), 16) is None
    said = rates.loading(replace(JOB, step_seconds=None, untried="there is too little memory."), 16)
    assert said and said.level is YELLOW and "too little memory" in said.found


CHECKS: dict[str, Callable[[float], Verdict | None]] = {
    "matmul": lambda x: rates.matmul("bf16", at(x)),
    "copy": lambda x: rates.copy(at(x)),
    "upload": lambda x: rates.upload(Rate(x * 64e9, 64e9), H100),
    "disk": lambda x: rates.disk_speed(replace(FACTS.run_disk, write=x * 1e9), JOB),
    "loading": lambda x: rates.loading(replace(JOB, step_seconds=x), 16),
    "loading without workers": lambda x: rates.loading(replace(JOB, step_seconds=x, num_workers=0), 16),
}


@pytest.mark.parametrize("check", CHECKS)
@given(st.floats(1e-6, 10), st.floats(1e-6, 10))
def test_a_higher_rate_is_never_worse(check: str, a: float, b: float) -> None:
    low, high = (CHECKS[check](value) for value in sorted((a, b)))
    assert low and high and high.level <= low.level


def test_a_step_is_held_against_the_peak_of_the_device() -> None:
    said = rates.step(H100, JOB)  # 60 TFLOP in 0.3 s
    assert said and said.found == "1,707 samples/s, 200 TFLOP/s: 20% of the listed peak"
    on_cpu = rates.step(CPU, replace(JOB, step_seconds=600.0))
    assert on_cpu and on_cpu.found.endswith("50% of a matrix product")
    for untold in ({"step_seconds": None}, {"step_flops": 0}, {"estimated": True}):
        assert rates.step(H100, replace(JOB, **untold)) is None
