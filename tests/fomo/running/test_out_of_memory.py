"""Out of memory, raised by a module's hook above a given batch: the error names a size that then really runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.checkpoint.files import numbered
from fomo.errors import FomoError
from fomo.results.layout import CHECKPOINTS
from fomo.results.scores_file import read_scores
from fomo.running.out_of_memory import available, by_halves, fitting_batch, largest, predicted
from fomo.system.memory_fault import MemoryFault, during, is_out_of_memory
from tests import tiny
from tests.faults.compare import differences
from tests.faulty import faulty, install
from tests.fomo.running.test_resume import OFTEN, cut_folder

CUDA = "'CUDA out of memory. Tried to allocate 20.00 MiB'"
CPU = "'[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can\\'t allocate memory'"


@pytest.fixture(autouse=True)
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "plug_in", monkeypatch)


def refused(folder: Path, *overrides: str) -> str:
    """What the run's error says."""
    with pytest.raises(FomoError) as error:
        tiny.run(folder, *overrides)
    return str(error.value)


@pytest.mark.parametrize("text", [CUDA, CPU], ids=["cuda", "cpu"])
def test_a_step_that_does_not_fit_names_a_batch_size_that_does(text: str, device: str, tmp_path: Path) -> None:
    """24 rows are too many for the hook, 7 are the most: 12 are tried, then 6, which then run to the end."""
    limit = (*faulty(most=7), f"+regularizer.text={text}", f"runtime.device={device}")
    said = refused(tmp_path / "run", *limit)
    for part in ("out of memory in task 1, step 0 on", "allocate", "batch_size=24 does not fit", "GiB", "no guide"):
        assert part in said and f"step 0 on {device} (" in said, said
    assert "batch_size=6 fits: steps of that size were made here" in said
    assert "runtime.micro_batch=6 fits too, and keeps the batch" in said
    whole = numbered(tmp_path / "run" / CHECKPOINTS)
    assert f"is in {whole[max(whole)]}; the same command goes on" in said
    for smaller in ("batch_size=6", "runtime.micro_batch=6") if text == CUDA else ():
        assert read_scores(tiny.run(tmp_path / smaller, *limit, smaller)).finished


def test_the_run_goes_on_where_there_is_more_memory(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was cut is gone on with on a machine without room, then on one with room, as if nothing had been."""
    overrides = (*faulty(), f"runtime.device={device}")
    whole, folder = tiny.run(tmp_path / "whole", *overrides), cut_folder(tmp_path / "run", 6, *overrides)
    with monkeypatch.context() as there:
        there.setenv("FAULTY_MOST", "1")
        said = refused(folder, *overrides, OFTEN)
    assert "in task 1, step" in said and "No batch_size fits" in said
    assert differences(whole, tiny.run(folder, *overrides, OFTEN)) == []


class Heavy(fomo.Method):
    """Its loss takes 64 MiB a row of the device."""

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        torch.empty(len(batch.images) * 2**26, dtype=torch.uint8, device=loss.device)
        return loss

    def flops(self, hook: str, network: nn.Module, task: fomo.Task | None) -> int | None:
        return 0 if hook == "loss" else None


@pytest.mark.gpu
def test_memory_of_the_gpu_that_runs_out_names_a_batch_size_that_fits(tmp_path: Path) -> None:
    """24 rows take 1.5 GiB of the 1.4 that the process may have."""
    heavy = (f"regularizer._target_={__name__}.Heavy", "runtime.allow_targets=[tests]", "runtime.device=cuda")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.4 * 2**30 / torch.cuda.get_device_properties(0).total_memory)
    try:
        said = refused(tmp_path / "run", *heavy)
        assert "out of memory in task 1, step 0 on cuda (" in said and "CUDA out of memory" in said
        fitting = re.search(r"batch_size=24 does not fit.* batch_size=(\d+) fits: steps", said)
        assert fitting and 2 <= int(fitting[1]) < 24, said
        assert read_scores(tiny.run(tmp_path / "smaller", *heavy, f"batch_size={fitting[1]}")).finished
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_an_evaluation_that_does_not_fit_names_a_size_of_its_own(device: str, tmp_path: Path) -> None:
    limit = (*faulty(most=100, where="evaluation"), f"+regularizer.text={CUDA}", f"runtime.device={device}")
    said = refused(tmp_path / "run", *limit)
    assert "out of memory in the evaluation after task 0" in said and "No checkpoint was written yet" in said
    assert "evaluation.batch_size=512 does not fit. evaluation.batch_size=64 fits" in said
    assert read_scores(tiny.run(tmp_path / "smaller", *limit, "evaluation.batch_size=64")).finished


def test_on_the_command_line_it_is_one_line_and_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fomo", "run", *tiny.TINY, *faulty(most=7), f"run.dir={tmp_path / 'run'}"]
    path = f"import sys; sys.path.insert(0, {str(tmp_path / 'plug_in')!r})"
    command[1:3] = ["-c", f"{path}; from fomo.cli import main; main()"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.returncode == 2 and process.stderr.count("\n") == 1, process.stderr
    assert process.stderr.startswith("error: out of memory in task 1, step 0")


def test_the_prediction_finds_the_largest_size_that_fits(device: str) -> None:
    """Into 80 % of the predicted peak; the next size, a row more, would not fit. Real steps of it are made."""
    few = ("model=pocket", "trainable=lnfit", "runtime.precision=fp32")  # so that activations are most of it
    prepared = tiny.prepared("batch_size=32", f"runtime.device={device}", *few)
    config, pools = prepared.resolved.config, prepared.maker.pools
    whole = predicted(config, pools)
    assert whole
    there = int(0.8 * whole)
    found = fitting_batch(config, pools, there, whole)
    assert found and 2 <= found < 32
    needed, more = (predicted(config, pools, size) for size in (found, found + 1))
    assert needed and more and needed <= there < more


def test_all_of_the_machine_is_there_on_a_cpu() -> None:
    assert 2**28 < available("cpu") < 2**50


def test_sizes_are_sought_by_bisection_and_by_halves() -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= 333

    assert largest(fits, 512) == 328 and len(tried) <= 6  # multiples of 512 ÷ 64
    assert largest(lambda size: size <= 9, 24) == 9 and largest(lambda size: False, 24) == 0
    assert by_halves(24, lambda size: size <= 7) == 6 and by_halves(24, lambda size: False) is None


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_says_that_memory_ran_out(error: Exception, says: bool) -> None:
    assert is_out_of_memory(error) is says
    with pytest.raises(MemoryFault if says else type(error)), during("hook", 1):
        raise error


def test_a_hook_outside_of_steps_is_told_apart(tmp_path: Path) -> None:
    greedy = ("regularizer._target_=faulty_part.Greedy", "runtime.allow_targets=[faulty_part]")
    said = refused(tmp_path / "run", *greedy)
    assert "at the start or the end of task 1" in said and "in a hook of the method" in said
