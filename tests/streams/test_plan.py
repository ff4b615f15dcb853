"""Plans of named datasets: cut, checked, counted and opened."""

from pathlib import Path

import pytest

from fomo.errors import FomoError
from fomo.stream.fingerprint import stream_data_sha256
from streams import build_stream, file_stream
from tests.fomo.helpers import put
from tests.streams.helpers import built, from_file, shards

ENTRIES = ["pocket_flags+++japan", "pocket_solids+++cube", "pocket_solids+++cone", "pocket_flags+++france"]


def test_a_dataset_cannot_be_learned_and_held_out(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="both adapted to and held out"):
        built(tmp_path, adaptation=["pocket_flags"], retention=["pocket_flags"])


def test_a_dataset_with_validation_samples_in_place_of_test_ones_is_told_the_ways_out(tmp_path: Path) -> None:
    shards(tmp_path, "new", {"train": [("owl", 1)], "validation": [("owl", 2)]})
    shards(tmp_path, "old", {"test": [("red", 3)]})
    plan = build_stream("mine", ["new"], ["old"], 0, "given", str(tmp_path))
    with pytest.raises(FomoError, match=r"test samples: new. evaluation=validation scores .* of new; .* Or take them"):
        plan.checked(1, 0, "test")


def test_retention_sets_have_no_training_split_to_learn_from(tmp_path: Path) -> None:
    stream = built(tmp_path)
    with pytest.raises(FomoError, match="unknown split of dataset 'pocket_counting' 'train'"):
        stream.retention["pocket_counting"].split("train")


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


def test_one_dataset_per_task_in_a_named_stream(tmp_path: Path) -> None:
    names = ["pocket_flags", "pocket_solids", "pocket_signs"]
    made = built(tmp_path, adaptation=names, ordering="dataset_incremental", chunks="dataset")
    assert sorted(task[0].dataset for task in made.tasks) == sorted(names)
    assert all(len({concept.dataset for concept in task}) == 1 for task in made.tasks)


def test_few_test_images_are_the_same_ones_of_all_in_every_run_and_other_data(tmp_path: Path) -> None:
    whole, few, again = (built(tmp_path, test_images=limit) for limit in (None, 50, 50))
    for name, dataset in few.datasets.items():
        samples = dataset.split("test")
        assert len(samples) == dataset.card.num_samples["test"] == 50
        first, second = (each.datasets[name].split("test").targets for each in (few, again))
        assert list(first) == list(second) and len(set(first)) > 4
        everything = whole.datasets[name].split("test")
        pixels = {everything.image(index).tobytes() for index in range(len(everything))}
        assert all(samples.image(index).tobytes() in pixels for index in range(len(samples)))
    assert few.adaptation["pocket_flags"].card.num_samples["train"] == len(
        few.adaptation["pocket_flags"].split("train")
    )
    digests = [stream_data_sha256(each, "test") for each in (whole, few, again)]
    assert digests[1] == digests[2] != digests[0]
    assert stream_data_sha256(built(tmp_path, test_images=10**6), "test") == digests[0]


@pytest.mark.parametrize("limit", [0, -1])
def test_no_test_images_are_no_choice(limit: int, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=rf"stream\.test_images={limit}: allowed are null \(all\) and 1 and above"):
        built(tmp_path, test_images=limit)


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


def test_training_samples_are_counted_from_cards_and_from_declarations(tmp_path: Path) -> None:
    shards(tmp_path, "new", {"train": [("a", 2), ("a", 3)], "test": [("a", 4)]})
    named = build_stream("mine", ["new", "pocket_solids"], ["pocket_counting"], 0, "given", str(tmp_path))
    assert named.num_training_samples() == 2 + 8 * 60
    path = put(tmp_path / "x.json", '["DTD+++banded", "new+++a"]')
    assert file_stream("file", str(path), str(tmp_path)).num_training_samples() == 1880 + 2
    put(path, '["DTT+++banded"]')
    with pytest.raises(FomoError, match=r"unknown dataset 'DTT'\. Did you mean 'DTD'"):
        file_stream("file", str(path), str(tmp_path)).num_training_samples()
