"""A part of the training split for validation: fixed, of every class, trained on in no run that is scored on it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.data.validation import NOTE, validation_rows, with_validation
from fomo.errors import FomoError
from streams import build_stream, open_named
from streams.plan import NamedPlan
from tests.fomo.helpers import status
from tests.streams.helpers import shards


@given(st.lists(st.integers(-1, 4), max_size=120), st.text(min_size=1, max_size=5))
def test_a_tenth_of_every_class_and_one_at_least_of_two(targets: list[int], name: str) -> None:
    classes = np.array(targets, dtype=np.int64)
    rows = validation_rows(classes, name)
    assert np.array_equal(rows, np.unique(rows)) and np.array_equal(rows, validation_rows(classes, name))
    for target in set(targets):
        count = targets.count(target)
        assert (classes[rows] == target).sum() == (0 if count == 1 else max(1, count // 10))


def test_it_is_drawn_by_the_datasets_name() -> None:
    classes = np.zeros(100, dtype=np.int64)
    assert not np.array_equal(validation_rows(classes, "a"), validation_rows(classes, "b"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    pictures = [(name, number) for number, name in enumerate(["owl", "emu"] * 15)]
    shards(tmp_path, "new", {"train": pictures, "test": [("owl", 50)]})
    shards(tmp_path, "old", {"train": [("red", 60), ("red", 61)], "test": [("red", 62)]}, role="retention")
    shards(tmp_path, "bare", {"test": [("blue", 70)]}, role="retention")
    return tmp_path


def planned(root: Path, *retention: str, **changes: object) -> NamedPlan:
    values = {"pool_size": 0, "ordering": "random", "root": str(root)} | changes
    return build_stream("mine", ["new"], list(retention), **values)  # type: ignore[arg-type]


def test_the_two_parts_make_up_the_training_split(root: Path) -> None:
    whole, parted = open_named("new", root), with_validation(open_named("new", root))
    assert parted.card.num_samples == {"train": 28, "validation": 2, "test": 1} and NOTE in parted.card.source
    parts = [parted.split(split) for split in ("train", "validation")]
    shown = [part.image(row).tobytes() for part in parts for row in range(len(part))]
    samples = whole.split("train")
    assert sorted(shown) == sorted(samples.image(row).tobytes() for row in range(30)) and len(set(shown)) == 30
    held_out, names = parts[1], [f"a caption of {name}" for name in whole.card.classes]
    assert [held_out.captions(row) for row in range(2)] == [[names[target]] for target in held_out.targets]
    assert sorted(held_out.targets) == [0, 1]
    assert len(parted.split("test")) == 1


def test_datasets_with_a_validation_split_or_without_training_samples_stay_as_they_are(root: Path) -> None:
    for name in ("pocket_flags", "bare"):
        dataset = open_named(name, root)
        assert with_validation(dataset) is dataset


def test_only_a_run_that_is_scored_on_it_holds_it_out(root: Path) -> None:
    sizes = {
        split: [len(stream.adaptation["new"].split("train")), len(stream.pool or ())]  # type: ignore[arg-type]
        for split in ("test", "validation")
        for stream in [planned(root, "old", pool=["new"]).open(2, 0, split)]
    }
    assert sizes == {"test": [30, 30], "validation": [28, 28]}


def test_a_dataset_that_cannot_be_scored_is_refused_before_long_work(root: Path) -> None:
    with pytest.raises(FomoError, match=r"1 of 3 datasets .* validation .*: bare\. .*stream\.retention=\[old\]"):
        planned(root, "old", "bare").open(2, 0, "validation")
    shards(root, "untested", {"train": [("red", 60), ("red", 61)]})
    with pytest.raises(FomoError, match=r"test .*: untested\."):
        planned(root, "untested").open(2, 0, "test")
    shards(root, "texts", {"train": [(None, 80), (None, 81)]}, kind="pairs")
    with pytest.raises(FomoError, match=r"'texts' is of kind 'pairs'"):
        planned(root, "texts").open(2, 0, "test")


def test_a_run_is_scored_on_it_and_says_so(root: Path) -> None:
    values = ["stream=images", f"stream.root={root}", "stream.adaptation=[new]", "stream.retention=[old]"]
    values += ["num_tasks=2", "batch_size=8", "budget=steps", "budget.steps=2", "stream.pool_size=100"]
    folder = root / "out"
    assert status("run", *values, "evaluation=validation", f"run.dir={folder}") == 0
    scores = json.loads((folder / "scores.json").read_text())
    assert [about["num_samples"] for about in scores["datasets"].values()] == [2, 1]
    assert "validation split" in scores["marks"] and scores["split"] == "validation"
