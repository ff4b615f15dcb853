"""Decoded images are kept and found again; what is not as it was written is decoded anew, and scores are the same."""

import hashlib
import os
import runpy
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fomo.data.samples import Dataset
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.image_file import CRC_BYTES, Stored
from fomo.evaluation.zero_shot import scored_datasets
from fomo.model.shipped import pocket
from fomo.system.runtime import Runtime
from tests.fomo.evaluation.image_cache.images import BATCH, SIZES, another_process, digest, files, stream
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def model(device: str) -> Any:
    made = pocket("pocket")
    made.network.to(device)
    return made


def scores(model: Any, datasets: dict[str, Dataset], runtime: Runtime) -> dict[str, Any]:
    config = EvaluationConfig(batch_size=BATCH)
    found = scored_datasets(model, datasets, config, runtime)
    return {name: (scored.score, scored.values.tolist()) for name, scored in found}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_second_evaluation_decodes_nothing_and_scores_the_same_to_the_bit(
    num_workers: int, model: Any, device: str, datasets: dict[str, Dataset], folder: Path, decoded: list[int]
) -> None:
    runtime = Runtime(device, num_workers=num_workers)
    bare = scores(model, datasets, replace(runtime, image_cache_gb=0))
    assert not folder.exists()
    first = scores(model, datasets, runtime)
    assert len(decoded) == (0 if num_workers else 2 * sum(SIZES.values()))
    decoded.clear()
    again = scores(model, datasets, runtime)
    another_process()
    assert bare == first == again == scores(model, datasets, replace(runtime, num_workers=0))
    assert decoded == [] and 0 < bare["seeking"][0] < 100
    pixels = sum(SIZES.values()) * 32 * 32 * 3
    assert sum(path.stat().st_size for path in folder.iterdir()) == pixels + 2 * CRC_BYTES


def spoil_end(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def spoil_start(path: Path) -> None:
    os.truncate(path, 0)


def spoil_pixel(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)[0]
        file.seek(5000)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("spoil", [spoil_end, spoil_start, spoil_pixel])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_file_that_is_not_as_it_was_written_is_decoded_again(
    spoil: Callable[[Path], None],
    elsewhere: bool,
    datasets: dict[str, Dataset],
    folder: Path,
    decoded: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = digest(datasets)
    sizes = [path.stat().st_size for path in files(folder)]
    for path in files(folder):
        spoil(path)
    if elsewhere:
        another_process()
    decoded.clear()
    assert digest(datasets) == whole
    assert len(decoded) == sum(SIZES.values()) and caplog.text.count("is cut short or damaged") == 2
    assert [path.stat().st_size for path in files(folder)] == sizes
    decoded.clear()
    assert digest(datasets) == whole and decoded == []


def test_a_file_that_is_cut_while_it_is_read_changes_nothing(
    datasets: dict[str, Dataset], folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fomo.evaluation.images.IMAGES_AHEAD", 1)  # else all may be read before it is cut
    monkeypatch.setattr("fomo.evaluation.images.BATCHES_AHEAD", 0)
    whole = digest(datasets)
    pieces = stream(datasets).pieces()
    found = [next(pieces)[1]]
    for path in files(folder):
        os.truncate(path, BATCH * 3 * 32**2 + 10)
    found += [images for _, images in pieces]
    assert hashlib.sha256(torch.cat(found).numpy()).hexdigest() == whole
    assert "mine: " in caplog.text and "is cut short or damaged" in caplog.text
    assert digest(datasets) == whole and len(files(folder)) == 2


def test_the_images_of_the_next_set_are_read_while_those_of_one_are_computed(
    datasets: dict[str, Dataset], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = digest(datasets)
    read: list[Path] = []
    both = threading.Event()
    real = Stored.read

    def seen(stored: Stored, out: Any, first: int) -> bool:
        read.append(next(path for path in files(folder) if stored.is_at(path)))
        if len(set(read)) == 2:
            both.set()
        return real(stored, out, first)

    monkeypatch.setattr(Stored, "read", seen)
    pieces = stream(datasets).pieces()
    found = [next(pieces)[1]]
    assert both.wait(PATIENCE_SECONDS)
    found += [images for _, images in pieces]
    assert hashlib.sha256(torch.cat(found).numpy()).hexdigest() == whole


def test_the_benchmark_runs_at_a_tiny_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], decoded: list[int]
) -> None:
    options = ["--images", "6", "--datasets", "2", "--workers", "0", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["evaluation.py", *options])
    benchmarks = Path(__file__).parents[4] / "benchmarks"
    monkeypatch.syspath_prepend(benchmarks)  # as Python has the folder of a script
    runpy.run_path(str(benchmarks / "evaluation.py"), run_name="__main__")
    assert len(decoded) == 6 and "second to first" in capsys.readouterr().out
