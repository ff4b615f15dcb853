"""A stream before its data: what ``stream._target_`` returns, of ours or of somebody else's package."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from fomo.data.samples import Dataset, Samples
from fomo.data.sequential import Shards
from fomo.data.validation import with_validation
from fomo.errors import FomoError
from fomo.stream.definition import Concept, Stream, chunk

Tasks = tuple[tuple[Concept, ...], ...]


class StreamPlan(ABC):
    """What a stream is to hold. `fomo run` opens it; `fomo stream` and `fomo budget` ask it before its data is there.

    Subclass it, set ``name``, ``concepts`` and ``retention``, write :meth:`datasets`, override what else you need.

    Attributes:
        name: the stream's name.
        concepts: every concept, as it was listed.
        retention: names of the held-out datasets.
        ordering: name of the order of :meth:`ordered`, for people.
        left_out: classes without a training sample that were left out of ``concepts``.
    """

    name: str
    concepts: Sequence[Concept]
    retention: Sequence[str]
    ordering: str = "given"
    left_out: Sequence[Concept] = ()

    @abstractmethod
    def datasets(self, names: Iterable[str]) -> dict[str, Dataset]:
        """Those of the named datasets that are there, by name; no image is drawn or decoded."""

    @property
    def adaptation(self) -> tuple[str, ...]:
        """Names of the datasets to adapt to, in the order of their first concept."""
        return tuple(dict.fromkeys(concept.dataset for concept in self.concepts))

    @property
    def pool_datasets(self) -> tuple[str, ...]:
        """Names of the datasets that make up the pretraining pool, if any do."""
        return ()

    def absent(self) -> list[str]:
        """Names of the datasets that the stream needs and that are not there."""
        names = list(dict.fromkeys((*self.adaptation, *self.retention, *self.pool_datasets)))
        present = self.datasets(names)
        return [name for name in names if name not in present]

    def opened(self, names: Iterable[str]) -> dict[str, Dataset]:
        """All of the named datasets, by name.

        Raises:
            FomoError: a dataset is not there.
        """
        names = list(dict.fromkeys(names))
        found = self.datasets(names)
        missing = [name for name in names if name not in found]
        if missing:
            raise FomoError(f"stream '{self.name}': datasets that are not there: {', '.join(missing)}.")
        return {name: found[name] for name in names}

    def ordered(self, seed: int, facts: Any = None) -> Sequence[Concept]:
        """Every concept in the order of the stream; equal arguments return equal orders.

        ``facts`` is what `fomo stream build` can find out about concepts, a :class:`streams.orderings.Facts`; ``None``
        means that nothing is at hand.
        """
        return self.concepts

    def tasks(self, num_tasks: int, seed: int) -> Tasks:
        """The concepts in order, cut into tasks."""
        return chunk(self.ordered(seed), num_tasks)

    def checked(self, num_tasks: int, seed: int, split: str) -> Stream:
        """The stream without its pool, before an image is drawn; ``split`` will be evaluated.

        Raises:
            FomoError: the stream cannot be run.
        """
        adapted = self._scored(self.adaptation, split)
        held_out = self._scored(self.retention, split)
        return Stream(self.name, self.tasks(num_tasks, seed), adapted, held_out, None, tuple(self.concepts))

    def _scored(self, names: Iterable[str], split: str) -> dict[str, Dataset]:
        """Datasets for a run that is scored on ``split``: where that is validation, all hold out some samples."""
        found = self.opened(names)
        return {name: with_validation(each) for name, each in found.items()} if split == "validation" else found

    def open(self, num_tasks: int, seed: int, split: str) -> Stream:
        """The stream with its data, drawn if need be; ``split`` will be evaluated.

        Raises:
            FomoError: the stream cannot be run.
        """
        return self.with_data(self.checked(num_tasks, seed, split), split)

    def with_data(self, stream: Stream, split: str) -> Stream:
        """What :meth:`checked` returned, with its pool, its images drawn."""
        self.draw_ahead(("train", split), (split,))
        return replace(stream, pool=self.open_pool(split))

    def open_pool(self, split: str = "test") -> Samples | Shards | None:
        """The pretraining pool of a run that is scored on ``split``; ``None``: there is none."""
        return None

    def draw_ahead(self, adapted: Sequence[str], held_out: Sequence[str], with_pool: bool = True) -> None:
        """Make what would be drawn when it is first used.

        Args:
            adapted: splits of the datasets to adapt to.
            held_out: splits of the held-out datasets.
            with_pool: the pretraining pool too.
        """
        return None

    def is_drawn(self, split: str) -> bool:
        """Whether a run that is scored on ``split`` would have nothing to draw."""
        return True

    def num_training_samples(self) -> int:
        """Training samples of all datasets to adapt to; no image is drawn or decoded."""
        cards = [dataset.card for dataset in self.opened(self.adaptation).values()]
        return sum(card.num_samples.get("train", 0) for card in cards)
