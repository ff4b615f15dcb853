"""Rates measured on this machine, a group of one process, the job as it is tried."""

import math
import os
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.doctor import job, measure
from fomo.doctor.gather import clock, driver, process_limits
from fomo.doctor.packages import packages
from fomo.errors import FomoError
from tests.tiny import TINY, resolved

BOUNDS = job.MachineBounds(memory_bytes=2**50, flops_per_second=1e18)


def test_rates_are_positive_and_finite() -> None:
    compute = measure.compute("cpu", "fp32", 2**30)
    rates = [compute.copy.measured, *(each.measured for each in compute.matmul.values())]
    assert len(rates) == 3 and all(0 < each < math.inf for each in rates) and compute.copy.listed is None


def test_the_disk_is_measured_in_the_nearest_folder_and_nothing_is_left(tmp_path: Path) -> None:
    found = measure.disk(tmp_path / "runs" / "a")
    assert found.write and found.read and 0 < found.write < math.inf and 0 < found.read < math.inf
    assert found.free_bytes > 0 and not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("there is no folder here that nobody can write to")
    found = measure.disk(Path("/proc") / "runs")
    assert found.write is None and found.problem


def test_a_group_of_one_comes_up_and_goes_down_again() -> None:
    before = dict(os.environ)
    assert [measure.network("cpu").failure for _ in range(2)] == ["", ""]
    assert dict(os.environ) == before


def test_the_clock_is_read_beside_the_files_of_the_folder(tmp_path: Path) -> None:
    future = 4e9
    (tmp_path / "card.json").touch()
    os.utime(tmp_path / "card.json", (future, future))
    found = clock((0.0, 0.0), tmp_path)
    assert found.newest == future and found.newest_file == str(tmp_path / "card.json")


def test_what_the_process_may_do_is_read() -> None:
    limits, gpus = process_limits(), driver("auto")
    assert 0 < limits.open_files <= limits.most_open_files and gpus.num_usable <= gpus.num_cards
    assert {"python", "torch", "hydra-core"} <= {each.name for each in packages()}
    assert all(each.installed for each in packages())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_job_is_built_rehearsed_and_tried(num_workers: int) -> None:
    found = job.job_facts(resolved(f"runtime.num_workers={num_workers}"), BOUNDS)
    assert found.num_steps == 6 and found.peak_bytes and found.weights_bytes > 10**6 and found.num_datasets == 3
    assert found.step_seconds and found.loading_seconds and not found.estimated and not found.untried
    assert found.batch_bytes == 24 * (3 * 32 * 32 + 8 * 32)


def test_fp32_takes_more_memory_than_bf16() -> None:
    peaks = [job.job_facts(resolved(f"runtime.precision={each}"), BOUNDS).peak_bytes for each in ("fp32", "bf16")]
    assert peaks[0] and peaks[1] and peaks[0] > peaks[1]


def test_a_job_is_not_tried_where_it_would_not_fit_or_would_take_long() -> None:
    small = job.job_facts(resolved(), replace(BOUNDS, memory_bytes=2**20))
    assert small.step_seconds is None and "too little memory" in small.untried
    slow = job.job_facts(resolved(), replace(BOUNDS, flops_per_second=1e6))
    assert slow.estimated and slow.step_seconds and slow.step_seconds > job.LONGEST_STEP


def test_a_budget_of_seconds_is_timed_once_it_is_known_to_fit() -> None:
    seconds = ("budget=wall_seconds", "budget.steps=null", "budget.wall_seconds=60")
    found = job.job_facts(resolved(*seconds), BOUNDS)
    assert found.step_seconds and found.num_steps == int(60 / found.step_seconds)
    assert job.job_facts(resolved(*seconds), replace(BOUNDS, memory_bytes=2**20)).step_seconds is None


def test_steps_are_tried_with_the_algorithms_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*given: Any) -> list[float]:
        if torch.are_deterministic_algorithms_enabled():
            raise RuntimeError("put_ does not have a deterministic implementation, but you set it.")
        return [1.0]

    monkeypatch.setattr(job, "trial", refusing)
    with pytest.raises(FomoError, match=r"runtime.deterministic=true: torch has no deterministic algorithm for put_"):
        job.job_facts(resolved(), BOUNDS)
    assert job.job_facts(resolved("runtime.deterministic=false"), BOUNDS).step_seconds == 1


@pytest.mark.gpu
def test_rates_of_a_gpu_are_positive_and_finite() -> None:
    compute = measure.compute("cuda", "bf16", 2**33)
    assert compute.upload and compute.free_bytes and measure.network("cuda").failure == ""
    rates = [compute.copy, compute.upload, *compute.matmul.values()]
    assert len(rates) == 4 and all(0 < each.measured < math.inf for each in rates)


def test_a_job_that_trains_nothing_has_no_rates() -> None:
    found = job.job_facts(resolved("method=frozen", "budget=mafs", "budget.steps=null", "budget.total_mafs=30"), BOUNDS)
    assert found.num_steps == 0 and found.step_seconds is None and not found.untried


def test_no_weights_are_downloaded() -> None:
    asked = resolve(compose([*TINY, "model=RN50", "model.pretrained=openai"]))
    assert job._random_weights(asked).config.model == asked.config.model | {"pretrained": None}


@pytest.mark.parametrize(("made", "ready"), [(5, 1), (1, 5), (0, 1)])
def test_batches_that_come_at_all_are_timed(made: int, ready: int) -> None:
    assert 0 < job.seconds_per_batch(repeat(cast(Any, None), made), ready, "cpu") < math.inf
