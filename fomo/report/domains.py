"""Forgetting by domain: how far the datasets of each domain fell from their best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fomo.results.scores import Scores


@dataclass(frozen=True)
class DomainRow:
    """Means over the datasets of a domain, in percent: the base model's, the best ones so far, and the last ones."""

    domain: str
    datasets: tuple[str, ...]
    base: float
    best: float
    last: float

    @property
    def fall(self) -> float:
        """How far they fell from their best, in points; each dataset has its own best."""
        return self.best - self.last


def by_domain(scores: Scores) -> list[DomainRow]:
    """A row for every domain, the one that fell furthest first. A dataset is in each domain that its card names.

    Where nobody has said its domain, a dataset stands for itself.
    The best of a dataset is over all evaluations, the base model's and the last included: nothing falls below 0.
    """
    groups: dict[str, list[str]] = {}
    for name, about in scores.datasets.items():
        for domain in about.domains or [name]:
            groups.setdefault(domain, []).append(name)
    rows = [_row(scores, domain, names) for domain, names in groups.items()] if scores.evaluations else []
    return sorted(rows, key=lambda row: -row.fall)


def _row(scores: Scores, domain: str, names: Sequence[str]) -> DomainRow:
    paths = [[evaluation.scores[name] for evaluation in scores.evaluations] for name in names]
    return DomainRow(
        domain,
        tuple(names),
        base=_mean([path[0] for path in paths]),
        best=_mean(list(map(max, paths))),
        last=_mean([path[-1] for path in paths]),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
