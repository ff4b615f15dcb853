"""What ``fomo stream build`` finds out for orderings: models, captions and time groups, each when it is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID

from fomo.cli.stream_tables import lengths_table
from fomo.errors import FomoError
from fomo.system.reading import read_json

if TYPE_CHECKING:
    import numpy as np

    from fomo.config.schema import Config
    from fomo.model.clip import ClipModel
    from fomo.stream.definition import Concept
    from fomo.stream.plan import StreamPlan
    from streams.orderings import Facts
    from streams.orderings.zero_shot import Score


@dataclass(frozen=True)
class FactFinder:
    """Finds out what orderings ask about the concepts of a plan.

    Attributes:
        config: the configuration that the plan comes from.
        plan: the stream to order.
        captions: the user's source of captions; ``None``: the stream's pool.
        time_groups: the user's file of time groups, if there is one.
        per_class: training images of each concept that are scored.
        console: where tables are printed.
        progress: shows what goes on.
        bar: the line of ``progress`` for it.
    """

    config: "Config"
    plan: "StreamPlan"
    captions: Path | None
    time_groups: Path | None
    per_class: int
    console: Console
    progress: Progress
    bar: TaskID

    def facts(self) -> "Facts":
        """All that orderings may ask for."""
        from streams.orderings import Facts

        return Facts(
            self._time_groups,
            self._accuracy,
            self._alignment,
            self._occurrences,
            self._features,
            on_stage=self._tell,
            on_lengths=lambda lengths: self.console.print(lengths_table(lengths)),
        )

    def _tell(self, stage: str, done: int = 0, total: int | None = None) -> None:
        self.progress.update(self.bar, description=stage, completed=done, total=total)

    def _model(self) -> "ClipModel":
        from fomo.config import factory

        return factory.model(self.config)

    def _features(self, concepts: "Sequence[Concept]") -> "np.ndarray":
        from streams.orderings.zero_shot import concept_features

        datasets = self.plan.datasets(self.plan.adaptation)
        self._tell(f"embedding {len(concepts)} concepts")
        return concept_features(self._model(), concepts, datasets, self.config.runtime)

    def _accuracy(self, concepts: "Sequence[Concept]") -> "np.ndarray":
        from streams.orderings.zero_shot import hits

        return self._scored(hits, concepts)

    def _alignment(self, concepts: "Sequence[Concept]") -> "np.ndarray":
        from streams.orderings.zero_shot import cosines

        return self._scored(cosines, concepts)

    def _scored(self, score: "Score", concepts: "Sequence[Concept]") -> "np.ndarray":
        from streams.orderings.zero_shot import concept_means

        datasets = self.plan.opened(self.plan.adaptation)
        self._tell("drawing images (once, then cached)")
        self.plan.draw_ahead(("train",), (), with_pool=False)
        numbers = {name: number for number, name in enumerate(sorted(datasets))}

        def seen(name: str) -> None:
            self._tell(f"scoring {name}", numbers[name], len(numbers))

        return concept_means(score, self._model(), concepts, datasets, self.per_class, self.config.runtime, seen)

    def _occurrences(self, concepts: "Sequence[Concept]") -> "np.ndarray":
        from streams.orderings.captions import count_captions, occurrences, texts_of

        self._tell("counting captions")
        if self.captions is not None:
            return occurrences(concepts, self.captions)
        pool = self.plan.open_pool()
        if pool is None:
            raise FomoError("the stream has no pool to count captions in: give them by --captions SOURCE.")
        return count_captions(texts_of(pool), [concept.name for concept in concepts])

    def _time_groups(self) -> Mapping[str, int]:
        from streams.orderings import declared_time_groups

        return declared_time_groups() | ({} if self.time_groups is None else read_groups(self.time_groups))


def read_groups(path: Path) -> dict[str, int]:
    """Time groups from a JSON object of integers by dataset.

    Raises:
        FomoError: the file cannot be read, or holds something else.
    """
    try:
        groups = read_json(path)
    except FomoError as error:
        raise FomoError(f"--time-groups: {error}") from None
    if not isinstance(groups, dict) or not all(type(group) is int for group in groups.values()):
        raise FomoError(f"--time-groups '{path}': a JSON object of integers is expected: {{\"DATASET\": 3}}.")
    return groups
