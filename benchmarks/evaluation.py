"""What the cache of decoded images saves: a suite of JPEGs is evaluated twice, the second time from the cache.

    python benchmarks/evaluation.py [--images N] [--datasets D] [--workers W] [--model NAME] [--device DEVICE]

Writes datasets of JPEGs of about 500 pixels as shards into a temporary folder, which leaves them in the page cache, and
evaluates them with an empty cache, again, and once more as another process would, which checks the cached file first.
Texts are left out of the times. Beside it the same number of images that lie on the device already is encoded: the rate
that the model can reach. Processor time, workers included, is moved less than the clock by other work on the machine.
"""

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import photo

from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.data.card import DatasetCard
from fomo.data.importing.split_writer import SplitWriter
from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset, write_card
from fomo.evaluation import image_cache, zero_shot
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.images import encode_images
from fomo.evaluation.zero_shot import scored_datasets
from fomo.model.clip import ClipModel
from fomo.system.runtime import Runtime

CLASSES = 20
DRAWN = 200
"""Different pictures of 90 kB; each is stored several times."""


def write_suite(root: Path, num_images: int, num_datasets: int) -> dict[str, Dataset]:
    """Datasets of so many test images together, in ``root``."""
    drawn = [
        photo("evaluation benchmark", number, sides=(470, 530), noise=14, quality=90)[0]
        for number in range(min(DRAWN, num_images))
    ]
    classes = tuple(f"class {number}" for number in range(CLASSES))
    edges = np.linspace(0, num_images, num_datasets + 1).astype(int)
    for number, (start, stop) in enumerate(pairwise(edges)):
        folder = root / f"set_{number}"
        folder.mkdir()
        writer = SplitWriter(folder, "test")
        for image in range(start, stop):
            writer.add(
                "jpg",
                drawn[image % len(drawn)],
                {"class": classes[image % CLASSES], "captions": [], "pixels": f"{image:064x}"},
            )
        writer.close()
        writer.write_index(classes)
        shutil.rmtree(folder / "records")
        write_card(folder, DatasetCard(folder.name, classes, ("a photo of a {}.",), {"test": int(stop - start)}))
    return {f"set_{number}": open_dataset(root / f"set_{number}") for number in range(num_datasets)}


@contextmanager
def texts_apart() -> Iterator[list[float]]:
    """The clock and the processor time that texts take in the block, which are added up."""
    spent = [0.0, 0.0]
    encode = zero_shot.encode_texts

    def timed(*arguments: Any) -> Any:
        before = now()
        features = encode(*arguments)
        spent[:] = [total + late - early for total, late, early in zip(spent, now(), before, strict=True)]
        return features

    zero_shot.encode_texts = timed
    try:
        yield spent
    finally:
        zero_shot.encode_texts = encode


def now() -> tuple[float, float]:
    """Seconds by the clock, and of the processor: this process and its children that have ended."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    times = os.times()
    return time.perf_counter(), times.user + times.system + times.children_user + times.children_system


def evaluated(model: ClipModel, datasets: dict[str, Dataset], runtime: Runtime) -> tuple[np.ndarray, dict[str, float]]:
    """Seconds by the clock and of the processor, texts apart: [2]; and the scores."""
    with texts_apart() as texts:
        before = now()
        found = scored_datasets(model, datasets, EvaluationConfig(), runtime)
        scores = {name: scored.score for name, scored in found}
        return np.array(now()) - before - texts, scores


def on_device(model: ClipModel, num_images: int, runtime: Runtime) -> np.ndarray:
    """Seconds for images that lie on the device: [2]."""
    size = min(EvaluationConfig().batch_size, num_images)
    shape = (size, model.image_size, model.image_size, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=runtime.device)
    encode_images(model, [images], runtime)
    before = now()
    for _ in range(num_images // size):
        encode_images(model, [images], runtime)
    return (np.array(now()) - before) * num_images / (num_images // size * size)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--datasets", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    weights = [] if options.model.startswith("pocket") else ["model.pretrained=null"]
    settings = [f"runtime.device={options.device}", f"runtime.num_workers={options.workers}"]
    config = resolve(compose([f"model={options.model}", *weights, *settings])).config
    model = factory.model(config)
    model.network.eval()
    with tempfile.TemporaryDirectory() as root:
        os.environ["FOMO_CACHE"] = str(Path(root) / "cache")
        datasets = write_suite(Path(root), options.images, options.datasets)
        on_device(model, min(64, options.images), config.runtime)
        first, scores = evaluated(model, datasets, config.runtime)
        second, again = evaluated(model, datasets, config.runtime)
        image_cache._cache.cache_clear()
        third, anew = evaluated(model, datasets, config.runtime)
        there = on_device(model, options.images, config.runtime)
    assert scores == again == anew
    where = torch.cuda.get_device_name() if config.runtime.device != "cpu" else f"{torch.get_num_threads()} threads"
    print(
        f"{date.today()}  {platform.machine()}, {where}, {options.workers} workers, {options.model}, "
        f"{options.images} JPEGs of about 500 pixels in {options.datasets} datasets, texts apart"
    )
    print("images per second            by the clock   by processor time")
    times = (first, second, third, there)
    first, second, third, there = (np.maximum(each, 1e-3) for each in times)  # the processor's clock ticks slowly
    rows = {
        "first, decoded": first,
        "second, from the cache": second,
        "in another process": third,
        "on the device": there,
    }
    for name, seconds in rows.items():
        clock, processor = options.images / seconds
        print(f"{name:27s} {clock:14.0f}   {processor:17.0f}")
    print(f"second to first             {first[0] / second[0]:14.2f}   {first[1] / second[1]:17.2f}   bar 5")
    print(f"second to on the device     {there[0] / second[0]:14.2f}   {there[1] / second[1]:17.2f}   bar 0.8 on a GPU")


if __name__ == "__main__":
    main()
