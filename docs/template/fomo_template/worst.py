"""A metric: the lowest accuracy among the tasks at the end."""

from fomo.results.metrics import accuracy_matrix
from fomo.results.scores import Scores


def worst_task(scores: Scores) -> float:
    """min_j R[T][j], in percent: after the last update, on the test samples of each task's concepts."""
    return min(accuracy_matrix(scores)[-1])
