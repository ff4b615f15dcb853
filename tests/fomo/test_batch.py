"""A batch is split with all that belongs to a row."""

import pytest
import torch

import fomo
from fomo.batch import Batch, Features


def batch() -> Batch:
    """Rows 0 to 9, four of P, three of D_t, three of B."""
    rows = torch.arange(10)
    features = Features(rows.view(10, 1).float(), -rows.view(10, 1).float(), torch.tensor(3.0))
    sources = torch.stack([rows, rows + 10, rows + 20, rows + 30], dim=1)
    return Batch(rows.view(10, 1, 1, 1).float(), rows.view(10, 1), (4, 3, 3), features, sources)


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (3, [(3, 0, 0), (1, 2, 0), (0, 1, 2), (0, 0, 1)]),
        (4, [(4, 0, 0), (0, 3, 1), (0, 0, 2)]),
        (10, [(4, 3, 3)]),
        (64, [(4, 3, 3)]),
    ],
)
def test_the_pieces_have_every_row_once_with_what_belongs_to_it(size: int, counts: list[tuple[int, int, int]]) -> None:
    whole = batch()
    pieces = list(whole.split(size))
    assert [piece.counts for piece in pieces] == counts
    for name in ("images", "tokens", "sources", "labels", "tasks", "datasets", "samples"):
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(whole, name))
    for piece in pieces:
        assert piece.features and torch.equal(piece.features.images[:, 0], piece.labels.float())
        assert torch.equal(piece.features.texts[:, 0], -piece.labels.float()) and piece.features.scale == 3


def test_of_a_batch_made_by_hand_nothing_is_known() -> None:
    made = fomo.Batch(torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, dtype=torch.long), (1, 1, 0))
    assert made.labels.tolist() == made.samples.tolist() == [-1, -1] and made.labels.dtype == torch.int64
