"""Several processes decode the same images."""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fomo.data.samples import Dataset
from fomo.evaluation import image_cache
from tests.fomo.evaluation.image_cache.images import SIZES, another_process, digest, files, stream
from tests.waiting import PATIENCE_SECONDS


def in_another(work: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def decode_all(datasets: dict[str, Dataset], decoded: list[int], start: Any, results: Any) -> None:
    another_process()
    decoded.clear()
    start.wait(PATIENCE_SECONDS)
    results.put((digest(datasets), len(decoded)))


def test_two_processes_at_once_decode_every_image_once_and_both_are_right(
    datasets: dict[str, Dataset], decoded: list[int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "POLL_SECONDS", 0.01)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    start = context.Barrier(2)
    processes = [in_another(decode_all, datasets, decoded, start, results) for _ in range(2)]
    found = [results.get(timeout=PATIENCE_SECONDS) for _ in processes]
    for process in processes:
        process.join(PATIENCE_SECONDS)
    whole = digest(datasets)
    assert [each for each, _ in found] == [whole, whole]
    assert sum(count for _, count in found) == sum(SIZES.values()) and len(files(folder)) == 2


def decode_some(datasets: dict[str, Dataset], begun: Any) -> None:
    """Come to the middle of the first set, and stay there."""
    another_process()
    pieces = stream(datasets).pieces()
    next(pieces)
    next(pieces)
    begun.set()
    time.sleep(600)


@pytest.fixture
def half_done(datasets: dict[str, Dataset], folder: Path) -> Iterator[multiprocessing.process.BaseProcess]:
    """A process that holds a file which it has written in part."""
    begun = multiprocessing.get_context("fork").Event()
    process = in_another(decode_some, datasets, begun)
    assert begun.wait(PATIENCE_SECONDS)
    yield process
    process.kill()
    process.join(PATIENCE_SECONDS)


def test_a_kill_in_the_middle_leaves_nothing_that_looks_finished(
    half_done: multiprocessing.process.BaseProcess, datasets: dict[str, Dataset], folder: Path, decoded: list[int]
) -> None:
    assert half_done.pid is not None
    os.kill(half_done.pid, signal.SIGKILL)
    half_done.join(PATIENCE_SECONDS)
    assert files(folder) == [] and len(list(folder.glob(".*.partial"))) == 1
    first = digest(datasets)
    assert len(decoded) == sum(SIZES.values())
    assert digest(datasets) == first and len(decoded) == sum(SIZES.values())
    assert len(files(folder)) == 2 and not list(folder.glob(".*.partial"))


def test_a_process_that_hangs_is_not_waited_for_for_ever(
    half_done: multiprocessing.process.BaseProcess,
    datasets: dict[str, Dataset],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(image_cache, "PATIENCE_SECONDS", 0.3)
    with caplog.at_level(logging.WARNING):
        first = digest(datasets)
    assert "mine: another process is decoding its images" in caplog.text
    assert "has written nothing for 0.3 s; its images are decoded here and not kept" in caplog.text
    half_done.kill()
    half_done.join(PATIENCE_SECONDS)
    assert digest(datasets) == first and len(files(folder)) == 2
