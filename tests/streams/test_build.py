"""Streams from names: orders, single concepts, imported datasets beside the pocket's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomo.cli import main
from fomo.data.joined import Joined
from fomo.data.sequential import Shards
from fomo.errors import FomoError
from fomo.stream.definition import Stream
from streams import available, build_stream, file_stream, open_named
from streams.plan import NamedPlan
from tests.fomo.helpers import put
from tests.streams.helpers import shards


def opened(target: Callable[..., NamedPlan], values: dict[str, Any]) -> Stream:
    """The stream of a plan, as a run opens it."""
    num_tasks = values.pop("num_tasks")
    seed = values.pop("seed", 0)
    return target(**values).open(num_tasks, seed, "test")


def built(tmp_path: Path, **changes: object) -> Stream:
    values: dict[str, object] = {
        "name": "mine",
        "adaptation": ["pocket_flags", "pocket_solids+++cube"],
        "retention": ["pocket_counting"],
        "pool_size": 0,
        "ordering": "random",
        "root": str(tmp_path / "data"),
    }
    return opened(build_stream, {"num_tasks": 3} | values | changes)


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


def from_file(tmp_path: Path, entries: list[str], **changes: object) -> Stream:
    path = put(tmp_path / "stream.json", json.dumps(entries))
    values: dict[str, object] = {"name": "file", "path": str(path), "root": str(tmp_path / "data"), "pool_size": 0}
    return opened(file_stream, {"num_tasks": 2} | values | changes)


ENTRIES = ["pocket_flags+++japan", "pocket_solids+++cube", "pocket_solids+++cone", "pocket_flags+++france"]


def test_a_stream_file_is_followed_and_cut_as_in_the_protocol(tmp_path: Path) -> None:
    stream = from_file(tmp_path, ENTRIES)
    assert [[str(concept) for concept in task] for task in stream.tasks] == [ENTRIES[:2], ENTRIES[2:]]
    assert list(stream.adaptation) == ["pocket_flags", "pocket_solids"] and stream.pool is None


def test_a_stream_file_may_be_cut_where_the_dataset_changes_or_ordered_anew(tmp_path: Path) -> None:
    assert [len(task) for task in from_file(tmp_path, ENTRIES, chunks="dataset", num_tasks=3).tasks] == [1, 2, 1]
    again = from_file(tmp_path, ENTRIES, ordering="reverse_given")
    assert [str(concept) for concept in again.concepts] == ENTRIES[::-1]
    with pytest.raises(FomoError, match=r"stream\.chunks 'datasets'. Did you mean 'dataset'"):
        from_file(tmp_path, ENTRIES, chunks="datasets")


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


@pytest.mark.parametrize(
    ("entries", "changes", "text"),
    [
        (
            ["pocket_flgs+++japan"],
            {"num_tasks": 1},
            r"unknown dataset 'pocket_flgs'. Did you mean 'pocket_flags'.*stream\.root",
        ),
        (["gone+++a", "lost+++b", "pocket_flags+++japan"], {}, "2 of 3 datasets are not there: gone, lost"),
        (["pocket_flags+++japn"], {"num_tasks": 1}, r"class of dataset 'pocket_flags' 'japn'. Did you mean 'japan'"),
        (ENTRIES, {"num_tasks": 5}, "num_tasks=5: allowed are 1 to 4"),
        (ENTRIES, {"retention": []}, r"stream\.retention is empty"),
        (ENTRIES, {"retention": "pocket_shapes"}, r"stream\.retention=pocket_shapes: a list"),
        (ENTRIES, {"retention": ["pocket_flags"]}, "both adapted to and held out"),
        (ENTRIES, {"ordering": "similarity"}, "similarity needs a model.*fomo stream build"),
        (ENTRIES, {"ordering": "time_incremental"}, "no time group is known for 2 datasets"),
        (
            ["pocket_shapes+++circle"],
            {"num_tasks": 1},
            r"1 concepts have no training sample.*pocket_shapes\+\+\+circle",
        ),
        (["birds+++owl", "birds+++emu"], {}, r"1 concepts have no training sample, the first is 'birds\+\+\+emu'"),
    ],
)
def test_a_stream_file_that_cannot_be_run_is_refused(
    entries: list[str], changes: dict[str, object], text: str, tmp_path: Path
) -> None:
    shards(tmp_path / "data", "birds", {"train": [("owl", 1)], "test": [("owl", 2), ("emu", 3)]})
    with pytest.raises(FomoError, match=text) as caught:
        from_file(tmp_path, entries, **({"retention": ["pocket_counting"]} | changes))
    assert "\n" not in str(caught.value)


def test_datasets_without_anything_to_learn_are_refused(tmp_path: Path) -> None:
    shards(tmp_path / "data", "pairs", {"train": [(None, 1)]}, kind="pairs")
    shards(tmp_path / "data", "tested", {"test": [("owl", 1)]})
    for name in ("pairs", "tested", "pocket_shapes"):
        for others in ([], ["pocket_flags"]):
            with pytest.raises(FomoError, match=f"no class of '{name}' has a training sample"):
                built(tmp_path, adaptation=[*others, name])


def test_a_copy_under_another_name_is_refused_and_a_link_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "data"
    stored = shards(tmp_path / "elsewhere", "new", {"train": [("owl", 1), ("emu", 2)], "test": [("owl", 3)]})
    shutil.copytree(stored, root / "copy")
    with pytest.raises(FomoError, match="holds the dataset 'new': name the folder so"):
        built(tmp_path, adaptation=["copy"])
    stored.rename(stored.with_name("stored"))
    (root / "new").symlink_to(stored.with_name("stored"))
    assert len(list(built(tmp_path, adaptation=["new"], num_tasks=2).concepts)) == 2


def test_one_dataset_per_task_in_a_named_stream(tmp_path: Path) -> None:
    names = ["pocket_flags", "pocket_solids", "pocket_signs"]
    made = built(tmp_path, adaptation=names, ordering="dataset_incremental", chunks="dataset")
    assert sorted(task[0].dataset for task in made.tasks) == sorted(names)
    assert all(len({concept.dataset for concept in task}) == 1 for task in made.tasks)


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
        ("pocket_flags", r"stream\.pool=pocket_flags: a list of names is expected"),
        (["pocket_counting"], "'pocket_counting' is both held out and in stream.pool"),
        (["pipe:cat x.tar"], "is no path"),
    ],
)
def test_a_bad_pool_is_refused(pool: object, text: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=text):
        built(tmp_path, pool=pool)


def test_training_samples_are_counted_from_cards_and_from_declarations(tmp_path: Path) -> None:
    shards(tmp_path, "new", {"train": [("a", 2), ("a", 3)], "test": [("a", 4)]})
    named = build_stream("mine", ["new", "pocket_solids"], ["pocket_counting"], 0, "given", str(tmp_path))
    assert named.num_training_samples() == 2 + 8 * 60
    path = put(tmp_path / "x.json", '["DTD+++banded", "new+++a"]')
    assert file_stream("file", str(path), str(tmp_path)).num_training_samples() == 1880 + 2
    put(path, '["DTT+++banded"]')
    with pytest.raises(FomoError, match=r"unknown dataset 'DTT'\. Did you mean 'DTD'"):
        file_stream("file", str(path), str(tmp_path)).num_training_samples()
