"""The hash of a stream's data: follows what scores depend on, and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fomo.data.card import read_card
from fomo.data.joined import Joined, SplitPart
from fomo.data.samples import ArraySamples
from fomo.data.sequential import list_shards
from fomo.data.shards import open_dataset, write_card
from fomo.stream.definition import Concept, Stream
from fomo.stream.fingerprint import samples_sha256, stream_data_sha256
from tests.fomo.helpers import put
from tests.streams.helpers import shards

NEW = {"train": [("owl", 1), ("emu", 2), ("owl", 3)], "validation": [("owl", 4)], "test": [("emu", 5), ("owl", 6)]}
OLD = {"test": [("red", 7), ("blue", 8)]}
Tasks = tuple[tuple[Concept, ...], ...]
TASKS: Tasks = ((Concept("new", "owl"),), (Concept("new", "emu"),))


def made(root: Path) -> Path:
    shards(root, "new", NEW, licence="CC0")
    shards(root, "old", OLD)
    shards(root, "captions", {"train": [("owl", 9)]})
    return root


def data_hash(root: Path, tasks: Tasks = TASKS, split: str = "test", pool: bool = False) -> str:
    new, old = (open_dataset(root / name) for name in ("new", "old"))
    p = open_dataset(root / "captions").split("train") if pool else None
    return stream_data_sha256(Stream("s", tasks, {"new": new}, {"old": old}, p), split)


def rewritten(root: Path, name: str, **changes: object) -> None:
    import dataclasses

    card = read_card(root / name / "dataset.json")
    write_card(root / name, dataclasses.replace(card, **changes))  # type: ignore[arg-type]


def another(root: Path, name: str, splits: dict[str, list[tuple[str, int]]]) -> None:
    shutil.rmtree(root / name)
    shards(root, name, splits)


SAME: dict[str, Callable[[Path], object]] = {
    "words about it": lambda root: rewritten(
        root, "new", licence="MIT", domain="birds", source="x", counts={"broken": 3}
    ),
    "a split that is not used": lambda root: another(root, "new", NEW | {"validation": [("emu", 99)]}),
    "a dataset that is not used": lambda root: shards(root, "more", OLD),
}


def flipped(file: Path) -> None:
    """One byte in the middle of a file is another one."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


OTHER: dict[str, Callable[[Path], object]] = {
    "a byte of a shard under its old card": lambda root: flipped(root / "new" / "train-000000.tar"),
    "a training picture": lambda root: another(root, "new", NEW | {"train": [("owl", 1), ("emu", 2), ("owl", 33)]}),
    "a training class": lambda root: another(root, "new", NEW | {"train": [("owl", 1), ("owl", 2), ("owl", 3)]}),
    "a test picture": lambda root: another(root, "new", NEW | {"test": [("emu", 5)]}),
    "a held-out picture": lambda root: another(root, "old", {"test": [("red", 7), ("blue", 88)]}),
    "a template": lambda root: rewritten(root, "old", templates=("the color {}",)),
    "how images are read": lambda root: rewritten(root, "old", decoding="plain"),
    "a primer": lambda root: rewritten(root, "new", primers={"owl": "an owl at night"}),
}


@pytest.mark.parametrize("change", SAME)
def test_the_hash_stays_under(change: str, tmp_path: Path) -> None:
    before = data_hash(made(tmp_path / "a"))
    SAME[change](tmp_path / "a")
    assert data_hash(tmp_path / "a") == before


@pytest.mark.parametrize("change", OTHER)
def test_the_hash_follows(change: str, tmp_path: Path) -> None:
    before = data_hash(made(tmp_path / "a"))
    OTHER[change](tmp_path / "a")
    assert data_hash(tmp_path / "a") != before


def test_the_hash_ignores_place_order_and_chunks_but_not_which_concepts(tmp_path: Path) -> None:
    here, there = made(tmp_path / "a"), made(tmp_path / "b")
    assert data_hash(here) == data_hash(there) == data_hash(here, TASKS[::-1]) == data_hash(here, (sum(TASKS, ()),))
    assert len({data_hash(here), data_hash(here, TASKS[:1])}) == 2


def test_the_hash_follows_the_evaluated_split_and_the_pool(tmp_path: Path) -> None:
    root = made(tmp_path / "a")
    shutil.rmtree(root / "old")
    shards(root, "old", OLD | {"validation": [("red", 7), ("blue", 8)]})
    assert len({data_hash(root), data_hash(root, split="validation"), data_hash(root, pool=True)}) == 3


def arrays(folder: Path, pixel: int = 0, target: int = 0, caption: str = "a") -> ArraySamples:
    folder.mkdir()
    images = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    images[2, 1, 1] = pixel
    np.save(folder / "images.npy", images)
    np.save(folder / "targets.npy", np.array([0, 1, target]))
    (folder / "captions.json").write_text(f'[["x"], [], ["{caption}"]]')
    return ArraySamples(folder)


def test_arrays_are_pixels_targets_and_captions(tmp_path: Path) -> None:
    kinds: list[dict[str, object]] = [{}, {"pixel": 1}, {"target": 1}, {"caption": "b"}]
    all_four = [arrays(tmp_path / str(number), **kind) for number, kind in enumerate(kinds)]  # type: ignore[arg-type]
    assert len({samples_sha256(samples) for samples in all_four}) == 4
    assert len({samples_sha256(ArraySamples(samples.folder, limit=2)) for samples in all_four}) == 1
    assert samples_sha256(all_four[0]) == samples_sha256(arrays(tmp_path / "again"))


def test_a_pool_that_is_read_otherwise_is_another_one(tmp_path: Path) -> None:
    root = made(tmp_path / "a")
    before = data_hash(root, pool=True)
    rewritten(root, "captions", decoding="plain")
    assert data_hash(root, pool=True) != before and data_hash(root) == data_hash(made(tmp_path / "b"))


def test_joined_samples_are_their_parts_and_their_rows(tmp_path: Path) -> None:
    samples, other = arrays(tmp_path / "a"), arrays(tmp_path / "b", pixel=1)
    rows = [np.array(each) for each in ([0, 1], [1, 0], [0, 1])]
    hashes = [samples_sha256(Joined((SplitPart(samples, each),))) for each in rows]
    assert hashes[0] == hashes[2] != hashes[1]
    joined = [
        Joined((SplitPart(first, range(3)), SplitPart(second, range(3))))
        for first, second in ((samples, other), (other, samples))
    ]
    assert len({samples_sha256(each) for each in joined} | set(hashes)) == 4


def test_tar_files_are_their_names_and_sizes(tmp_path: Path) -> None:
    for folder, name, size in (("a", "0.tar", 10), ("b", "0.tar", 10), ("c", "0.tar", 20), ("d", "1.tar", 10)):
        put(tmp_path / folder / name, bytes(size))
    pools = [list_shards([str(path)], 5) for path in sorted(tmp_path.glob("*/*.tar"))]
    hashes = [samples_sha256(pool) for pool in pools]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3
