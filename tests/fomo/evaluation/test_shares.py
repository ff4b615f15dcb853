"""An evaluation by several processes scores what one does, to the bit."""

import numpy as np
import pytest
import torch

from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.shares import of_all, own_samples
from fomo.evaluation.zero_shot import scored_datasets
from fomo.results.scores import NotFinished
from fomo.testing.processes import on_ranks
from tests import tiny

SIZES = (5, 0, 9, 3)


class Numbers:
    """A split whose images are the numbers of its samples."""

    def __init__(self, size: int) -> None:
        self.targets = np.zeros(size, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, index: int) -> int:
        return index


def _places() -> list[list[int]]:
    """Of each split, the samples that come round, by number."""
    splits = [Numbers(size) for size in SIZES]
    own = own_samples(splits, 4)
    mine = ((number, torch.tensor([each.image(row) for row in range(len(each))])) for number, each in enumerate(own))
    batches = _rebatched([(number, rows) for number, rows in mine if len(rows)], 4)
    found: list[list[int]] = [[] for _ in SIZES]
    for split, rows in of_all(iter(batches), SIZES, 4):
        found[split] += rows.tolist()
    return found


def _rebatched(parts: list[tuple[int, torch.Tensor]], size: int) -> list[tuple[int, torch.Tensor]]:
    """As a stream gives them: nothing across two batches."""
    cut = []
    filled = 0
    for split, rows in parts:
        while len(rows):
            taken = min(len(rows), size - filled % size)
            cut.append((split, rows[:taken]))
            rows = rows[taken:]
            filled += taken
    return cut


@pytest.mark.parametrize("size", [2, 3])
def test_every_image_comes_once_and_in_order(size: int) -> None:
    assert on_ranks(size, _places) == [[list(range(each)) for each in SIZES]] * size


def _scores(prepared: object) -> dict[str, tuple[float, list[float]]]:
    config = EvaluationConfig(batch_size=70)
    runtime = prepared.resolved.config.runtime
    found = scored_datasets(prepared.model, prepared.stream.datasets, config, runtime)
    return {name: (scored.score, scored.values.tolist()) for name, scored in found}


def test_scores_are_those_of_one_process() -> None:
    prepared = tiny.prepared()
    alone = _scores(prepared)
    assert on_ranks(3, lambda: _scores(prepared)) == [alone] * 3


def test_what_is_not_finite_is_so_everywhere() -> None:
    prepared = tiny.prepared()
    with torch.no_grad():
        prepared.model.network.visual.ln_post.bias.fill_(float("nan"))

    def said() -> str:
        with pytest.raises(NotFinished) as caught:
            _scores(prepared)
        return str(caught.value)

    alone = said()
    assert on_ranks(2, said) == [alone] * 2 and "not finished" in alone
