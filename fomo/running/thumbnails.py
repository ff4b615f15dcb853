"""The images that a run keeps of its stream: some of every task, and of what is held out."""

import base64
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

import numpy as np
from PIL import Image

from fomo.config.plugins import described
from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError
from fomo.results.layout import THUMBNAILS
from fomo.results.thumbnails import Thumbnail, write_thumbnails
from fomo.stream.definition import Stream

SIDE = 56
"""Pixels of the longer side of an image."""
NEW = 120
"""Images of all tasks together; of one task at most :data:`OF_TASK`."""
OF_TASK = 12
HELD_OUT = 60
"""Images of all held-out datasets together; of one dataset at most :data:`OF_DATASET`."""
OF_DATASET = 3
PATIENCE_SECONDS = 20.0
"""How long a run waits for them: on a file system that is gone a read never ends."""

_log = logging.getLogger(__name__)
Item = TypeVar("Item")


def keep_thumbnails(stream: Stream, split: str, folder: Path) -> None:
    """Write the images of ``stream`` into a run folder that has none yet; ``split`` is the one that is evaluated.

    They are there to be looked at: where they cannot be had, it is said, and the run goes on without.
    """
    if (folder / THUMBNAILS).exists():
        return
    try:
        write_thumbnails(folder, _in_time(lambda: [*_of_tasks(stream), *_of_held_out(stream, split)]))
    except Exception as error:  # whatever a guest's dataset raises
        said = error if isinstance(error, FomoError) else described(error)
        _log.warning("the report will show no images of the stream: %s", said)


def _in_time(read: Callable[[], list[Item]]) -> list[Item]:
    """What ``read`` returns or raises, in a thread that is left to itself where it takes too long.

    Raises:
        FomoError: it does.
    """
    answers: SimpleQueue[list[Item] | Exception] = SimpleQueue()

    def answer() -> None:
        try:
            answers.put(read())
        except Exception as error:  # whatever a guest's dataset raises
            answers.put(error)

    Thread(target=answer, daemon=True).start()
    try:
        found = answers.get(timeout=PATIENCE_SECONDS)
    except Empty:
        raise FomoError(f"they are not read after {PATIENCE_SECONDS:g} s.") from None
    if isinstance(found, Exception):
        raise found
    return found


def evenly(items: Sequence[Item], number: int) -> list[Item]:
    """At most ``number`` of the items, the first among them, in their order and at equal distances."""
    number = min(number, len(items))
    return [items[place * len(items) // number] for place in range(number)]


def _of_tasks(stream: Stream) -> Iterator[Thumbnail]:
    tasks = evenly(list(enumerate(stream.tasks, start=1)), NEW)
    for number, concepts in tasks:
        for concept in evenly(concepts, max(1, min(OF_TASK, NEW // len(tasks)))):
            dataset = stream.adaptation[concept.dataset]
            samples = dataset.split("train")
            rows = np.flatnonzero(samples.targets == dataset.card.classes.index(concept.name))
            yield from _drawn(number, dataset, samples, rows[:1])


def _of_held_out(stream: Stream, split: str) -> Iterator[Thumbnail]:
    for dataset in evenly(list(stream.retention.values()), HELD_OUT):
        samples = dataset.split(split)
        number = max(1, min(OF_DATASET, HELD_OUT // len(stream.retention)))
        yield from _drawn(0, dataset, samples, evenly(range(len(samples)), number))


def _drawn(task: int, dataset: Dataset, samples: Samples, rows: Sequence[int] | np.ndarray) -> Iterator[Thumbnail]:
    """The images in these rows; one that cannot be read is left out, as it is from batches."""
    for row in map(int, rows):
        target = int(samples.targets[row])
        label = dataset.card.classes[target] if 0 <= target < len(dataset.card.classes) else ""
        try:
            image = samples.image(row)
        except FomoError:
            continue
        yield Thumbnail(task, dataset.name, label, _encoded(image))


def _encoded(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
