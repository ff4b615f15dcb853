"""Streams from names: orders, single concepts, imported datasets beside the pocket's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomo.cli import main
from fomo.data.joined import Joined
from fomo.data.sequential import Shards
from fomo.errors import FomoError
from fomo.stream import Stream
from streams import available, build_stream, open_named


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


def imported(tmp_path: Path, name: str) -> Path:
    for number in range(24):
        place = tmp_path / f"tree of {name}" / f"kind {number % 3}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place)
    root = tmp_path / "data"
    main(["data", "import", "folder", str(place.parents[1]), "--name", name, "--out", str(root)])
    return root / name


def test_p_is_the_training_samples_of_the_datasets_named(tmp_path: Path) -> None:
    imported(tmp_path, "one")
    imported(tmp_path, "two")
    pool = built(tmp_path, pool=["one", "two"], pool_size=500).pool
    sizes = [open_named(name, tmp_path / "data").card.num_samples["train"] for name in ("one", "two")]
    assert isinstance(pool, Joined) and len(pool) == sum(sizes)
    assert pool.captions(0) and pool.image(len(pool) - 1).size == (8, 8)


def test_p_is_read_in_sequence_from_tar_files(tmp_path: Path) -> None:
    imported(tmp_path, "one")
    pool = built(tmp_path, pool=[f"{tmp_path}/data/one/train-{{000000..000000}}.tar"], pool_window=5).pool
    assert isinstance(pool, Shards) and pool.window == 5 and [path.name for path in pool.paths] == ["train-000000.tar"]


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (["pocket_flgs"], r"dataset 'pocket_flgs'. Did you mean 'pocket_flags'.*stream\.root"),
        (["pocket_flags", "a.tar"], "names datasets and tar files"),
        ([], "stream.pool is empty.*stream.pool=null"),
        ("pocket_flags", r"give a list: stream\.pool=\[NAME\]"),
        (["pocket_counting"], "'pocket_counting' is both held out and in stream.pool"),
        (["pipe:cat x.tar"], "is no path"),
    ],
)
def test_a_bad_pool_is_refused(pool: object, text: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=text):
        built(tmp_path, pool=pool)
