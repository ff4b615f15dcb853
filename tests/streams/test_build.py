"""Plans from names: orders, single concepts, stream files."""

import json
from pathlib import Path

import pytest

from fomo.errors import FomoError
from streams import file_stream
from tests.fomo.helpers import put
from tests.streams.helpers import built, from_file, shards

ENTRIES = ["pocket_flags+++japan", "pocket_solids+++cube", "pocket_solids+++cone", "pocket_flags+++france"]


def test_a_seed_orders_the_concepts_and_another_one_otherwise(tmp_path: Path) -> None:
    first, again, other = (list(built(tmp_path, seed=seed).concepts) for seed in (0, 0, 1))
    assert first == again != other and sorted(first) == sorted(other) and len(first) == 17


def test_given_keeps_the_order_of_the_list(tmp_path: Path) -> None:
    entries = ["pocket_flags+++japan", "pocket_solids+++cube", "pocket_flags+++france"]
    stream = built(tmp_path, adaptation=entries, ordering="given")
    assert [str(concept) for concept in stream.concepts] == entries


def test_a_concept_that_its_dataset_brings_too_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"'pocket_flags\+\+\+japan' stands twice"):
        built(tmp_path, adaptation=["pocket_flags", "pocket_flags+++japan"])


def test_retention_sets_of_a_file_are_those_there_unless_named(tmp_path: Path) -> None:
    root = tmp_path / "data"
    shards(root, "old", {"test": [("a", 1)]}, role="retention")
    shards(root, "new", {"train": [("a", 2)], "test": [("a", 3)]}, role="adaptation")
    shards(root, "learned", {"train": [("a", 4)], "test": [("a", 5)]}, role="retention")
    own = ["new+++a", "learned+++a"]
    assert list(from_file(tmp_path, own).retention) == ["old"]
    with_pocket = from_file(tmp_path, [*own, ENTRIES[0]], num_tasks=1)
    assert len(with_pocket.retention) == 8 and with_pocket.retention["pocket_shapes"].card.role == "retention"
    assert list(from_file(tmp_path, own, retention=["pocket_counting"]).retention) == ["pocket_counting"]


def test_the_pool_of_a_file_is_the_pockets_where_all_its_datasets_are(tmp_path: Path) -> None:
    shards(tmp_path / "data", "new", {"train": [("a", 2)], "test": [("a", 3)]})
    plans = [
        file_stream("file", str(put(tmp_path / "x.json", json.dumps(entries))), str(tmp_path / "data"))
        for entries in (ENTRIES, [*ENTRIES, "new+++a"])
    ]
    assert [plan.pool_size for plan in plans] == [16000, 0]


def test_datasets_without_anything_to_learn_are_refused(tmp_path: Path) -> None:
    shards(tmp_path / "data", "pairs", {"train": [(None, 1)]}, kind="pairs")
    shards(tmp_path / "data", "tested", {"test": [("owl", 1)]})
    for name in ("pairs", "tested", "pocket_shapes"):
        for others in ([], ["pocket_flags"]):
            with pytest.raises(FomoError, match=f"no class of '{name}' has a training sample"):
                built(tmp_path, adaptation=[*others, name])
