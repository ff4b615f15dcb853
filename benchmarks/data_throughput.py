"""What reading from indexed shards costs beside decoding alone: the same pictures, the same number of workers.

    python benchmarks/data_throughput.py [--pictures N] [--workers W]

Writes a set of JPEGs of about 224 pixels as shards into a temporary folder, and lets a stream's pools draw them by
concept, in an order that is random over the files. Beside it a bare loop decodes the same files, in the same order,
from a list of bytes in memory. Both run in the same DataLoader, in turns; results are those of all rounds
together. Processor time is moved less than the clock by other work on the machine.
"""

import argparse
import hashlib
import io
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from pictures import photo
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fomo import rng
from fomo.data.card import DatasetCard
from fomo.data.importing.split_writer import SplitWriter
from fomo.data.joined import Joined
from fomo.data.shards import open_dataset, write_card
from fomo.stream.buffer import Buffer
from fomo.stream.definition import Concept, Stream, chunk
from fomo.stream.mixture import walk
from fomo.stream.pools import Captions, Pool, StreamPools

CLASSES, TASKS, ROUNDS, BATCH = 100, 10, 30, 32
Made = tuple[torch.Tensor, float]
"""A batch, and the processor time that it took its worker."""


def write_set(folder: Path, num_pictures: int) -> None:
    """Photo-like JPEGs of about 20 kB each."""
    classes = tuple(f"class {number}" for number in range(CLASSES))
    writer = SplitWriter(folder, "train")
    for number in range(num_pictures):
        picture, pixels = photo("throughput", number, sides=(200, 260), noise=12, quality=88)
        name = classes[number % CLASSES]
        about = {"class": name, "captions": [f"a photo of {name}"], "pixels": hashlib.sha256(pixels).hexdigest()}
        writer.add("jpg", picture, about)
    writer.close()
    writer.write_index(classes)
    write_card(folder, DatasetCard(folder.name, classes, ("a photo of {}",), {"train": num_pictures}))


def last_buffer(folder: Path) -> Pool:
    """Everything before the last task: what a late buffer looks like."""
    dataset = open_dataset(folder)
    concepts = [Concept(dataset.name, name) for name in dataset.card.classes]
    tasks = chunk([concepts[i] for i in rng.generator("throughput").permutation(CLASSES)], TASKS)
    stream = Stream("throughput", tasks, {dataset.name: dataset}, {}, None)
    pool = StreamPools.of(stream, 0, Buffer(), Captions()).of_task(TASKS)["buffer"]
    assert isinstance(pool, Pool)
    return pool


def files_of(folder: Path, pool: Pool) -> list[bytes]:
    """The bytes of every picture of the pool, in the pool's order, read by the standard library."""
    pictures: list[bytes] = []
    for path in sorted(folder.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            members = [member for member in tar if member.name.endswith(".jpg")]
            pictures += [file.read() for file in map(tar.extractfile, members) if file is not None]
    assert isinstance(pool.samples, Joined)
    return [pictures[pool.samples.locate(int(row))[1]] for row in pool.rows]


@dataclass(frozen=True)
class Drawing(TorchDataset[Made]):
    """The pictures at the keys, stacked after a cut to 192 pixels, which costs both sides the same."""

    draw: Callable[[int], Image.Image]

    def __getitem__(self, keys: list[int]) -> Made:
        started = time.thread_time()
        rows = [np.asarray(self.draw(key).crop((0, 0, 192, 192))) for key in keys]
        return torch.from_numpy(np.stack(rows)), time.thread_time() - started


@dataclass(frozen=True)
class FromShards:
    """A sample as training draws it: picture and texts."""

    pool: Pool

    def __call__(self, index: int) -> Image.Image:
        return self.pool.draw(index).image


@dataclass(frozen=True)
class FromMemory:
    """The same picture from bytes at hand."""

    files: list[bytes]

    def __call__(self, index: int) -> Image.Image:
        return Image.open(io.BytesIO(self.files[index])).convert("RGB")


def seconds(loader: "DataLoader[Made]") -> np.ndarray:
    """A pass, by the clock (workers at work) and by the processor time of the workers: [2]."""
    batches = iter(loader)
    worked = next(batches)[1]
    started = time.perf_counter()
    worked += sum(seconds for _, seconds in batches)
    return np.array([time.perf_counter() - started, worked])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1200)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "throughput"
        folder.mkdir()
        write_set(folder, options.pictures)
        pool = last_buffer(folder)
        sides = [Drawing(FromMemory(files_of(folder, pool))), Drawing(FromShards(pool))]
        order = walk(0, "throughput", len(pool), 0, len(pool)).tolist()
        keys = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        # New workers in every round: how well a process's memory lies moves its speed by a quarter.
        loaders = [DataLoader(side, batch_size=None, sampler=keys, num_workers=options.workers) for side in sides]
        # [round, side, clock or processor]; who goes first changes, so that a machine that slows down slows both.
        turns = [[seconds(loader) for loader in loaders[:: 1 - 2 * (turn % 2)]] for turn in range(ROUNDS)]
        spent = np.array([both[:: 1 - 2 * (turn % 2)] for turn, both in enumerate(turns)]).sum(axis=0)
    bare, ours = ROUNDS * len(pool) / spent
    ratios = ours / bare
    print(f"{date.today()}  {platform.machine()}, {options.workers} workers, {len(pool)} pictures of about 224 pixels")
    print("pictures per second        by the clock   by processor time")
    print(f"decoded from memory        {bare[0]:12.0f}   {bare[1]:17.0f}")
    print(f"drawn from indexed shards  {ours[0]:12.0f}   {ours[1]:17.0f}")
    print(f"ratio                      {ratios[0]:12.3f}   {ratios[1]:17.3f}")


if __name__ == "__main__":
    main()
