"""Streams from names: orders, single concepts, imported datasets beside the pocket's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomo.cli import main
from fomo.errors import FomoError
from fomo.stream import Stream
from streams import available, build_stream


def built(tmp_path: Path, **changes: object) -> Stream:
    values: dict[str, object] = {
        "name": "mine",
        "adaptation": ["pocket_flags", "pocket_solids+++cube"],
        "retention": ["pocket_counting"],
        "pool_size": 0,
        "ordering": "random",
        "root": str(tmp_path / "data"),
        "num_tasks": 3,
        "seed": 0,
    }
    return build_stream(**(values | changes))  # type: ignore[arg-type]


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


def test_a_dataset_cannot_be_learned_and_held_out(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="both adapted to and held out"):
        built(tmp_path, adaptation=["pocket_flags"], retention=["pocket_flags"])


def test_retention_sets_have_no_training_split_to_learn_from(tmp_path: Path) -> None:
    stream = built(tmp_path)
    with pytest.raises(FomoError, match="unknown split of dataset 'pocket_counting' 'train'"):
        stream.retention["pocket_counting"].split("train")


def test_imported_datasets_stand_beside_the_pockets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(30):
        place = tmp_path / "tree" / f"kind {number % 3}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
    root = tmp_path / "data"
    main(["data", "import", "folder", str(tmp_path / "tree"), "--name", "mine", "--out", str(root)])
    assert available(root)["mine"] == root / "mine"
    stream = built(tmp_path, adaptation=["mine", "pocket_solids+++cube"], num_tasks=1)
    assert {str(concept) for concept in stream.concepts} == {
        "mine+++kind 0",
        "mine+++kind 1",
        "mine+++kind 2",
        "pocket_solids+++cube",
    }
    (root / "mine").rename(root / "pocket_flags")
    with pytest.raises(FomoError, match="name of a pocket dataset"):
        available(root)
