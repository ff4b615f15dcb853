"""What a stream looks like: the concepts of every task by dataset, what is held out, and images of both."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fomo.results.scores import Scores
from fomo.results.stream import StreamFile
from fomo.results.thumbnails import Thumbnail


class StreamRow(NamedTuple):
    """A task's concepts: how many, of which datasets (the largest part first), and the images of some."""

    task: int
    num_concepts: int
    datasets: Mapping[str, int]
    images: Sequence[Thumbnail]


def stream_rows(stream: StreamFile, images: Sequence[Thumbnail]) -> list[StreamRow]:
    """Every task of a stream, with those of the images that are its own."""
    by_task: dict[int, list[Thumbnail]] = {}
    for image in images:
        by_task.setdefault(image.task, []).append(image)
    return [
        StreamRow(number, len(concepts), _by_dataset(concepts), by_task.get(number, []))
        for number, concepts in enumerate(stream.tasks, start=1)
    ]


def _by_dataset(concepts: Sequence[str]) -> dict[str, int]:
    return dict(Counter(concept.partition("+++")[0] for concept in concepts).most_common())


def held_out(scores: Scores, images: Sequence[Thumbnail]) -> dict[str, list[Thumbnail]]:
    """Every held-out dataset that is scored, with its images."""
    return {
        name: [image for image in images if image.task == 0 and image.dataset == name]
        for name, about in scores.datasets.items()
        if about.role == "retention"
    }
