"""How many test images a run is evaluated on, known before it starts: beside how many samples it trains on."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fomo.data.card import DatasetCard
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.subset import size_of


class EvaluationCost(NamedTuple):
    """What a run's evaluations come to.

    ``images`` is how many an evaluation on the way has, of ``num_path`` after updates and ``num_within`` within them;
    ``in_full`` how many all datasets have, of which ``num_in_full`` evaluations are made besides.
    """

    images: int
    num_path: int
    num_within: int
    in_full: int
    num_in_full: int

    @property
    def num_evaluations(self) -> int:
        """All of them."""
        return self.num_path + self.num_within + self.num_in_full

    @property
    def run_images(self) -> int:
        """Of the whole run."""
        return self.images * (self.num_path + self.num_within) + self.in_full * self.num_in_full

    def __str__(self) -> str:
        within = f", {self.num_within:,} of them within tasks" if self.num_within else ""
        whole = f" and {self.num_in_full} × {self.in_full:,}" if self.num_in_full else ""
        on_the_way = f"{self.num_path + self.num_within:,} × {self.images:,}"
        return f"{on_the_way}{whole} = {self.run_images:,} test images{within}"


def evaluation_cost(cards: Iterable[DatasetCard], config: EvaluationConfig, steps: Sequence[int]) -> EvaluationCost:
    """The evaluations of a run on the datasets of ``cards``, of so many ``steps`` in each of its tasks."""
    sizes = [(card, card.num_samples.get(config.split, 0)) for card in cards]
    on_the_way = sum(size if config.subset == "none" else _on_subset(card, size) for card, size in sizes)
    due = sum(config.is_due(task, len(steps)) for task in range(len(steps) + 1))
    within = sum(max(each - 1, 0) // config.every_steps for each in steps) if config.every_steps else 0
    return EvaluationCost(on_the_way, due, within, sum(size for _, size in sizes), 2 * (config.subset != "none"))


def _on_subset(card: DatasetCard, size: int) -> int:
    return size if card.kind == "retrieval" else size_of(size, len(card.classes))
