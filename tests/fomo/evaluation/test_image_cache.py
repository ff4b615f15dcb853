"""Decoded images are kept and found again, whatever processes, disks and files do; scores never depend on it."""

import errno
import hashlib
import io
import logging
import multiprocessing
import os
import runpy
import shutil
import signal
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch

from fomo.data import shards as data_shards
from fomo.data.card import PLAIN, read_card
from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset, write_card
from fomo.data.validation import with_validation
from fomo.errors import FomoError, Stopped
from fomo.evaluation import image_cache, image_file
from fomo.evaluation.image_cache import Draft, ImageCache, cache_of
from fomo.evaluation.image_file import CRC_BYTES, Stored, claimed
from fomo.evaluation.image_key import image_key
from fomo.evaluation.images import Decoder, ImageStream
from fomo.evaluation.read_ahead import ReadAhead
from fomo.evaluation.zero_shot import EvaluationConfig, scored_datasets
from fomo.model.preprocess import Preprocess
from fomo.model.shipped import pocket
from fomo.system.runtime import Runtime
from streams.pocket.datasets import open_pocket
from tests.streams.helpers import shards

SIZES = {"mine": 50, "seeking": 21}
LABELS = ("cat", "dog", "owl")
BATCH = 16
CPU = Runtime("cpu")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classification set and a retrieval set, in shards."""
    root = tmp_path_factory.mktemp("data")
    kinds = {"mine": "classification", "seeking": "retrieval"}
    for name, count in SIZES.items():
        shards(root, name, {"test": [(LABELS[each % 3], each) for each in range(count)]}, kind=kinds[name])
    return root


@pytest.fixture
def datasets(root: Path) -> dict[str, Dataset]:
    return {name: open_dataset(root / name) for name in SIZES}


@pytest.fixture(scope="module")
def model(device: str) -> Any:
    made = pocket("pocket")
    made.network.to(device)
    return made


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's cache lies."""
    monkeypatch.setenv("FOMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def another_process() -> None:
    """Forget what this process has open."""
    image_cache._cache.cache_clear()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every image that this process decodes."""
    calls: list[int] = []
    real = data_shards.decode

    def counted(data: bytes, **how: Any) -> Any:
        calls.append(len(data))
        return real(data, **how)

    monkeypatch.setattr(data_shards, "decode", counted)
    return calls


def scores(model: Any, datasets: dict[str, Dataset], runtime: Runtime) -> dict[str, Any]:
    config = EvaluationConfig(batch_size=BATCH)
    found = scored_datasets(model, datasets, config, runtime)
    return {name: (scored.score, scored.values.tolist()) for name, scored in found}


def stream(datasets: dict[str, Dataset], size: int = 32) -> ImageStream:
    preprocess = Preprocess(size)
    samples = [dataset.split("test") for dataset in datasets.values()]
    keys = [image_key(each, split, preprocess) for each, split in zip(datasets.values(), samples, strict=True)]
    return ImageStream(Decoder(list(datasets), samples, preprocess), BATCH, CPU, keys, cache_of(CPU))


def digest(datasets: dict[str, Dataset]) -> str:
    """Of all pixels, as they go to the model."""
    return hashlib.sha256(torch.cat([images for _, images in stream(datasets).pieces()]).numpy()).hexdigest()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.images"))


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
    assert both.wait(60)
    found += [images for _, images in pieces]
    assert hashlib.sha256(torch.cat(found).numpy()).hexdigest() == whole


@pytest.mark.parametrize("is_cached", [True, False])
def test_an_evaluation_that_is_left_leaves_no_thread_and_no_file(
    is_cached: bool, datasets: dict[str, Dataset], folder: Path
) -> None:
    if is_cached:
        digest(datasets)
    before = files(folder)
    pieces = stream(datasets).pieces()
    next(pieces)
    pieces.close()
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join(60)
            assert not thread.is_alive()
    assert files(folder) == before and not list(folder.glob(".*.partial"))


class Full(io.BufferedRandom):
    """A file on a disk that has no room."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def on_full_disk(path: Path) -> BinaryIO | None:
    file = claimed(path)
    assert file is not None
    file.close()
    return Full(io.FileIO(path, "r+"))


def fill_disk(patch: pytest.MonkeyPatch, folder: Path) -> str:
    patch.setattr(image_cache, "claimed", on_full_disk)
    return "No space left on device"


def nearly_fill_disk(patch: pytest.MonkeyPatch, folder: Path) -> str:
    patch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 2**30 + 1000))
    return "has no room for its"


def put_file_there(patch: pytest.MonkeyPatch, folder: Path) -> str:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("not a folder")
    return "Not a directory"


def refuse_locks(patch: pytest.MonkeyPatch, folder: Path) -> str:
    def flock(file: object, operation: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    patch.setattr(image_file.fcntl, "flock", flock)
    return os.strerror(errno.ENOTSUP)


@pytest.mark.parametrize("trouble", [fill_disk, nearly_fill_disk, put_file_there, refuse_locks])
def test_a_cache_that_cannot_be_used_is_done_without_which_is_said_once(
    trouble: Callable[[pytest.MonkeyPatch, Path], str],
    datasets: dict[str, Dataset],
    folder: Path,
    decoded: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        reason = trouble(patch, folder)
        several = {digest(datasets) for _ in range(2)}
    assert len(decoded) == 2 * sum(SIZES.values()) and [reason in text for text in caplog.messages] == [True]
    assert not [path for path in folder.parent.rglob("*") if path.suffix in (".images", ".partial")]
    if folder.parent.is_file():
        folder.parent.unlink()
    another_process()
    assert several == {digest(datasets)} and len(files(folder)) == 2


def test_what_is_known_already_is_read_on_a_full_disk(
    datasets: dict[str, Dataset], decoded: list[int], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    whole = digest({"mine": datasets["mine"]})
    decoded.clear()
    fill_disk(monkeypatch, folder)
    digest(datasets)
    assert digest({"mine": datasets["mine"]}) == whole and len(decoded) == SIZES["seeking"]


# Eviction


def keep(cache: ImageCache, key: str, num_bytes: int) -> bool:
    """Write images of a key; whether they were taken."""
    found = cache.find(key, num_bytes, key)
    if not isinstance(found, Draft):
        return False
    with closing(found):
        found.add(np.zeros((1, num_bytes, 1, 1), np.uint8))
    return True


def keys(folder: Path) -> str:
    return "".join(path.stem for path in files(folder))


def test_the_least_recently_used_make_room_and_what_is_in_use_stays(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit = 3 * (1000 + CRC_BYTES)
    other = ImageCache(folder, limit)
    for number, key in enumerate("abc"):
        assert keep(other, key, 1000)
        os.utime(other.path(key), ns=(number, number))
    assert not keep(ImageCache(folder, limit), "d", 1000), "all are open"
    assert keys(folder) == "abc" and "no room" in caplog.text
    del other
    reader = ImageCache(folder, limit)
    assert isinstance(reader.find("a", 1000, "a"), Stored), "used last, now"
    del reader
    holder = ImageCache(folder, limit)
    holder._open["b"] = Stored(holder.path("b").open("rb"))
    cache = ImageCache(folder, limit)
    assert keep(cache, "d", 1000) and keys(folder) == "abd", "c is the oldest that nobody has open"
    assert not keep(cache, "e", 2000) and keys(folder) == "abd", "nothing goes in vain"
    assert not keep(cache, "f", limit + 1) and keys(folder) == "abd"
    del holder
    assert keep(cache, "e", 2000) and keys(folder) == "de"


def test_a_lower_limit_is_kept_to_and_what_is_left_half_written_goes_first(folder: Path) -> None:
    for key in "abc":
        keep(ImageCache(folder, 10**6), key, 1000)
    (folder / ".x.images.partial").write_bytes(bytes(5000))
    os.utime(folder / ".x.images.partial", ns=(1, 1))
    assert keep(ImageCache(folder, 2100), "d", 1000)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2100 and "d" in keys(folder)


# Several processes


def in_another(work: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def decode_all(datasets: dict[str, Dataset], decoded: list[int], start: Any, results: Any) -> None:
    another_process()
    decoded.clear()
    start.wait(60)
    results.put((digest(datasets), len(decoded)))


def test_two_processes_at_once_decode_every_image_once_and_both_are_right(
    datasets: dict[str, Dataset], decoded: list[int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "POLL_SECONDS", 0.01)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    start = context.Barrier(2)
    processes = [in_another(decode_all, datasets, decoded, start, results) for _ in range(2)]
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
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
    assert begun.wait(60)
    yield process
    process.kill()
    process.join(60)


def test_a_kill_in_the_middle_leaves_nothing_that_looks_finished(
    half_done: multiprocessing.process.BaseProcess, datasets: dict[str, Dataset], folder: Path, decoded: list[int]
) -> None:
    assert half_done.pid is not None
    os.kill(half_done.pid, signal.SIGKILL)
    half_done.join(60)
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
    half_done.join(60)
    assert digest(datasets) == first and len(files(folder)) == 2


# Keys


def key_of(folder: Path, preprocess: Preprocess = Preprocess(32)) -> str | None:  # noqa: B008 (frozen)
    dataset = open_dataset(folder)
    return image_key(dataset, dataset.split("test"), preprocess)


def test_what_changes_pixels_changes_the_key_and_nothing_else_does(root: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(root / "mine", tmp_path / "mine", copy_function=shutil.copy2))
    key = key_of(mine)
    assert key == key_of(root / "mine") == key_of(mine, Preprocess(32, mean=(0, 0, 0), std=(1, 1, 1)))
    others = [
        key_of(mine, Preprocess(16)),
        key_of(mine, Preprocess(32, interpolation="bilinear")),
        key_of(mine, Preprocess(32, resize_mode="longest")),
        key_of(mine, Preprocess(32, resize_mode="longest", fill_color=7)),
        key_of(shards(tmp_path / "anew", "mine", {"test": [(LABELS[each % 3], each + 100) for each in range(50)]})),
    ]
    card = read_card(mine / "dataset.json")
    write_card(mine, replace(card, decoding=PLAIN))
    others.append(key_of(mine))
    write_card(mine, card)
    assert key_of(mine) == key
    shard = mine / "test-000000.tar"
    shard.write_bytes(shard.read_bytes())
    others.append(key_of(mine))
    assert None not in others and len({key, *others}) == 8


def test_images_that_are_changed_in_place_are_seen(root: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(root / "mine", tmp_path / "mine", copy_function=shutil.copy2))
    before = digest({"mine": open_dataset(mine)})
    data = (mine / "test-000000.tar").read_bytes()
    other = shards(tmp_path / "other", "mine", {"test": [(LABELS[each % 3], each + 100) for each in range(50)]})
    assert len(data) == (other / "test-000000.tar").stat().st_size
    shutil.copytree(other, mine, dirs_exist_ok=True)
    assert digest({"mine": open_dataset(mine)}) == digest({"mine": open_dataset(other)}) != before


def test_arrays_and_samples_of_others_are_not_kept_and_parts_of_shards_are(tmp_path: Path) -> None:
    flags = open_pocket("pocket_flags")
    assert image_key(flags, flags.split("test"), Preprocess(32)) is None
    made = shards(tmp_path, "mine", {"train": [(LABELS[each % 3], each) for each in range(60)]})
    dataset = with_validation(open_dataset(made))
    held_out, rest = (image_key(dataset, dataset.split(split), Preprocess(32)) for split in ("validation", "train"))
    assert None not in (held_out, rest) and held_out != rest


# Images that cannot be read


def test_images_that_cannot_be_read_are_named_and_nothing_is_kept(
    root: Path, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Path(shutil.copytree(root / "mine", tmp_path / "mine"))
    shard = mine / "test-000000.tar"
    os.truncate(shard, shard.stat().st_size // 2)
    with pytest.raises(FomoError, match=r"sample \d+ of split 'test' of dataset 'mine' .* ends before it"):
        digest({"mine": open_dataset(mine)})
    shard.unlink()
    with pytest.raises(FomoError, match=r"sample 0 of split 'test' of dataset 'mine' .*No such file"):
        digest({"mine": open_dataset(mine)})
    assert list(folder.glob("*.images")) == list(folder.glob(".*.partial")) == [] and not caplog.text


def test_a_read_that_does_not_end_is_left_when_a_signal_comes(
    datasets: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    over = threading.Event()
    begun = threading.Event()

    def stuck(file: int, size: int, start: int) -> bytes:
        begun.set()
        over.wait()
        raise OSError(errno.EIO, "left")

    def stop(*arguments: object) -> None:
        raise Stopped("SIGALRM", 75)

    monkeypatch.setattr(data_shards.os, "pread", stuck)
    before = signal.signal(signal.SIGALRM, stop)
    main = threading.main_thread().ident
    assert main is not None
    threading.Thread(target=lambda: begun.wait(60) and signal.pthread_kill(main, signal.SIGALRM), daemon=True).start()
    try:
        with pytest.raises(Stopped):
            digest(datasets)
        assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
        assert not list(folder.glob(".*.partial"))
    finally:
        over.set()
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_between_a_split_and_its_images_leaves_no_file(
    datasets: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    class Interrupted(ReadAhead[Any]):
        def __next__(self) -> Any:
            super().__next__()
            assert len(list(folder.glob(".*.partial"))) == 1
            raise KeyboardInterrupt

    monkeypatch.setattr("fomo.evaluation.images.ReadAhead", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        digest(datasets)
    assert not list(folder.glob(".*.partial"))
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join(60)  # it ends what it is at


def test_the_benchmark_runs_at_a_tiny_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], decoded: list[int]
) -> None:
    options = ["--images", "6", "--datasets", "2", "--workers", "0", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["evaluation.py", *options])
    benchmarks = Path(__file__).parents[3] / "benchmarks"
    monkeypatch.syspath_prepend(benchmarks)  # as Python has the folder of a script
    runpy.run_path(str(benchmarks / "evaluation.py"), run_name="__main__")
    assert len(decoded) == 6 and "second to first" in capsys.readouterr().out
