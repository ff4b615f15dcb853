"""What a stream of the size of FoMo-in-Flux costs before its first step: 18,381 concepts, 2.2 million samples.

    python benchmarks/stream_scale.py

41 datasets are made up as indexes without images. Printed: seconds to open, order, chunk, check and hash the stream
and to group its samples by task; the highest memory of the process; and what the start of the last task costs at 20 and
at 200 tasks (median over rounds, both sides in turns).
"""

import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np

from fomo import rng
from fomo.data.card import DatasetCard
from fomo.data.shard_index import COLUMNS
from fomo.data.shards import write_card
from fomo.stream.buffer import Buffer
from fomo.stream.fingerprint import stream_data_sha256
from fomo.stream.pools import Captions, StreamPools
from streams import build_stream

NUM_DATASETS, NUM_CONCEPTS, NUM_SAMPLES = 41, 18_381, 2_200_000
NUM_TASKS = (20, 200)
ROUNDS = 7


def sizes(total: int, least: int) -> np.ndarray:
    """Very uneven sizes of all datasets that sum to ``total``."""
    shares = 0.85 ** np.arange(NUM_DATASETS)
    counts = least + np.floor(shares / shares.sum() * (total - least * NUM_DATASETS)).astype(int)
    counts[0] += total - counts.sum()
    return counts


def make_up(root: Path) -> list[str]:
    """Write cards and indexes; returns the names of the datasets."""
    names = [f"dataset_{number:02d}" for number in range(NUM_DATASETS)]
    for name, classes, samples in zip(names, sizes(NUM_CONCEPTS, 7), sizes(NUM_SAMPLES, 2000), strict=True):
        write_dataset(root / name, "train", int(classes), int(samples))
    write_dataset(root / "held_out", "test", 100, 10_000)
    for name in names:
        index = root / name / "index-train.npz"
        (root / name / "index-test.npz").write_bytes(index.read_bytes())
    return names


def write_dataset(folder: Path, split: str, num_classes: int, num_samples: int) -> None:
    """A dataset whose shards are missing."""
    folder.mkdir()
    targets = np.arange(num_samples) % num_classes
    columns = {name: np.arange(num_samples) for name in COLUMNS}
    columns["target"] = rng.generator("scale", folder.name).permutation(targets)
    np.savez(folder / f"index-{split}.npz", **columns)
    names = tuple(f"a class with number {number}" for number in range(num_classes))
    counts = {"train": num_samples, "test": num_samples} if split == "train" else {split: num_samples}
    write_card(folder, DatasetCard(folder.name, names, ("a photo of a {}",), counts))


@contextmanager
def clock(name: str, spent: dict[str, float]) -> Iterator[None]:
    """Adds to ``spent`` how long the block takes."""
    started = time.perf_counter()
    yield
    spent[name] = spent.get(name, 0) + time.perf_counter() - started


def build(root: Path, names: list[str], num_tasks: int) -> tuple[StreamPools, dict[str, float]]:
    """The whole way from names to pools, by stages."""
    spent: dict[str, float] = {}
    with clock("plan: cards, concepts", spent):
        plan = build_stream("scale", names, ["held_out"], 0, "random", str(root))
    with clock("order, chunk, check", spent):
        stream = plan.open(num_tasks, 0, "test")
    with clock("hash the definition", spent):
        stream.sha256  # noqa: B018
    with clock("hash the data", spent):
        stream_data_sha256(stream, "test")
    with clock("group samples by task", spent):
        pools = StreamPools.of(stream, 0, Buffer(), Captions())
    return pools, spent


def task_start(pools: StreamPools, task: int) -> float:
    """Seconds to put the pools of a task together and to know their sizes."""
    started = time.perf_counter()
    for pool in pools.of_task(task).values():
        len(pool)
    return time.perf_counter() - started


def median(action: Callable[[], float]) -> float:
    """Of some rounds."""
    return statistics.median(action() for _ in range(ROUNDS))


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        names = make_up(Path(folder))
        made = {num_tasks: build(Path(folder), names, num_tasks) for num_tasks in NUM_TASKS}
    print(f"{date.today()}  {platform.machine()}, {NUM_CONCEPTS} concepts, {NUM_SAMPLES} samples")
    for num_tasks, (_, spent) in made.items():
        print(f"T = {num_tasks}")
        for stage, seconds in spent.items():
            print(f"  {stage:<24}{seconds:8.2f} s")
        print(f"  {'all of it':<24}{sum(spent.values()):8.2f} s")
    starts = {t: median(lambda p=pools, t=t: task_start(p, t)) for t, (pools, _) in made.items()}  # type: ignore[misc]
    for num_tasks, seconds in starts.items():
        print(f"start of task {num_tasks:<4}      {seconds * 1e3:10.3f} ms")
    print(f"ratio                   {starts[NUM_TASKS[1]] / starts[NUM_TASKS[0]]:9.2f}")
    print(f"peak memory             {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:9.2f} GiB")


if __name__ == "__main__":
    main()
