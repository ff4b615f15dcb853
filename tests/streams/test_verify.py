"""Sound and unsound streams, found out by looking at every concept and every image."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomo.errors import FomoError
from fomo.stream.definition import Concept
from streams import build_stream, file_stream
from streams.plan import NamedPlan
from streams.verify import FAULTS, NOTES, SoundnessReport, refuse_unsound, verify
from tests.fomo.data.inspect.test_duplicates import scene
from tests.fomo.helpers import encoded, picture, put
from tests.fomo.tars import tar
from tests.streams.helpers import Images, shards

NEW: Images = [("owl", 1), ("emu", 2), ("owl", 3)]
OLD: Images = [("red", 11), ("blue", 12)]


def planned(root: Path, new: Images = NEW, old: Images = OLD, pool: Images = (), **new_card: object) -> NamedPlan:
    """A stream over a dataset to learn, one to keep, and a pool if there are images for one."""
    shards(root, "new", {"train": new, "test": [("owl", 21), ("emu", 22)]}, **new_card)
    shards(root, "old", {"test": old, "validation": [("red", 31)]})
    if pool:
        shards(root, "pool", {"train": pool})
    return build_stream("mine", ["new"], ["old"], 0, "given", str(root), ["pool"] if pool else None)


def found(plan: NamedPlan, radius: int | None = None) -> dict[str, list[str]]:
    """Findings by kind, without what is said of a dataset as a whole."""
    return {kind: list(texts) for kind, texts in verify(plan, radius).findings.items() if kind != "dataset"}


NO_POOL = {"no pool": ["there is none: mixture.pretraining has to be 0"]}


def test_a_sound_stream(tmp_path: Path) -> None:
    report = verify(planned(tmp_path, pool=[("x", 41), ("y", 42)]))
    assert not report.findings and not report.faults
    assert report.num_images == {"held out": 3, "trained on": 5} and report.num_concepts == 2
    refuse_unsound(report)


def test_a_stream_without_pool_is_sound_and_noted(tmp_path: Path) -> None:
    assert found(planned(tmp_path)) == NO_POOL


@pytest.mark.parametrize(
    ("new", "pool", "where"),
    [([*NEW, ("emu", 12)], [("x", 41)], "new train 3"), (NEW, [("x", 41), ("x", 12)], "the pool, part 0 1")],
)
def test_a_held_out_image_among_what_is_trained_on_is_found(
    new: Images, pool: Images, where: str, tmp_path: Path
) -> None:
    report = verify(planned(tmp_path, new, pool=pool))
    assert report.findings == {"exact duplicate": [f"old test 1 is {where}"]}
    with pytest.raises(FomoError, match="not sound: 1 × exact duplicate"):
        refuse_unsound(report)


def test_a_test_image_of_what_is_learned_that_is_trained_on_elsewhere_is_noted(tmp_path: Path) -> None:
    shards(tmp_path, "one", {"train": NEW, "test": [("owl", 21), ("emu", 22), ("owl", 1)]})
    shards(tmp_path, "two", {"train": [("cat", 21), ("dog", 51)], "test": [("cat", 52), ("dog", 53)]})
    shards(tmp_path, "old", {"test": OLD})
    shards(tmp_path, "pool", {"train": [("x", 22), ("y", 41)]})
    for few in (None, 2):
        plan = build_stream("mine", ["one", "two"], ["old"], 0, "given", str(tmp_path), ["pool"], test_images=few)
        expected = ["one test 0 is two train 0", "one test 1 is the pool, part 0 0"]
        report = verify(plan)
        noted = report.findings["tested"]
        assert noted == expected if few is None else len(noted) > 0 and set(noted) <= set(expected)
        assert not report.faults


def test_validation_images_are_held_out_too(tmp_path: Path) -> None:
    assert found(planned(tmp_path, [*NEW, ("owl", 31)]))["exact duplicate"] == ["old validation 0 is new train 3"]


def test_a_class_that_the_stream_does_not_use_may_show_anything(tmp_path: Path) -> None:
    planned(tmp_path, [*NEW, ("leak", 12)])
    plan = build_stream("mine", ["new+++owl", "new+++emu"], ["old"], 0, "given", str(tmp_path))
    assert found(plan) == NO_POOL


def test_a_near_duplicate_is_found_on_request(tmp_path: Path) -> None:
    image = scene(5)
    packed = Image.open(io.BytesIO(encoded(image, "JPEG", quality=70))).convert("RGB").resize((120, 120))
    plan = planned(tmp_path, [*NEW, ("owl", packed), ("owl", scene(6))], [*OLD, ("red", image)])
    assert found(plan) == NO_POOL
    assert found(plan, radius=4) == NO_POOL | {"near duplicate": ["old test 2 is nearly new train 3"]}


def test_plain_images_are_counted_where_hashes_are_asked_for(tmp_path: Path) -> None:
    plain = [("red", Image.new("RGB", (9, 9), color)) for color in ("red", "blue")]
    assert found(planned(tmp_path, old=plain), radius=2) == NO_POOL | {"plain": ["2 images"]}


def test_classes_without_training_images_are_reported_not_dropped_in_silence(tmp_path: Path) -> None:
    plan = planned(tmp_path, classes=("emu", "kiwi", "owl"))
    assert found(plan)["left out"] == ["new+++kiwi"] and [c.name for c in plan.concepts] == ["emu", "owl"]


def test_a_concept_without_training_samples_is_a_fault_where_it_is_named(tmp_path: Path) -> None:
    planned(tmp_path, classes=("emu", "kiwi", "owl"))
    names = ["new+++owl", "new+++kiwi", "new+++moa", "gone+++x", "old+++red"]
    path = put(tmp_path / "s.json", json.dumps(names))
    report = verify(file_stream("file", str(path), str(tmp_path), ["pocket_counting", "lost"]))
    assert {kind: texts for kind, texts in report.findings.items() if kind != "dataset"} == NO_POOL | {
        "absent dataset": ["gone", "lost"],
        "absent class": ["new+++moa"],
        "no training sample": ["new+++kiwi", "old+++red"],
    }
    assert not report.to_json()["sound"] and json.loads(json.dumps(report.to_json())) == report.to_json()


def test_a_stream_that_keeps_nothing_is_a_fault(tmp_path: Path) -> None:
    planned(tmp_path)
    path = put(tmp_path / "s.json", json.dumps(["new+++owl"]))
    assert "no held-out dataset" in found(file_stream("file", str(path), str(tmp_path), []))
    assert found(file_stream("file", str(path), str(tmp_path), ["new"]))["both"] == ["new"]


def test_a_damaged_image_is_found_where_images_are_opened(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    shard = tmp_path / "new" / "train-000000.tar"
    data = bytearray(shard.read_bytes())
    place = data.find(b"IDAT")
    data[place : place + 60] = bytes(60)
    shard.write_bytes(data)
    (text,) = found(plan, radius=0)["unreadable picture"]
    assert "sample 0 of split 'train'" in text


def test_many_images_go_over_all_cores_with_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(tmp_path, [*NEW, ("emu", 12)])
    alone = verify(plan, radius=3)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr("streams.verify.IN_PROCESS", 0)
    monkeypatch.setattr("streams.compared.CHUNK", 2)
    monkeypatch.setattr("streams.compared.AT_ONCE", 3)
    assert verify(plan, 3, lambda done, total: seen.append((done, total))) == alone
    assert seen == [(1, 7), (3, 7), (5, 7), (7, 7)]


def test_a_pool_that_is_read_in_sequence_is_compared_too(tmp_path: Path) -> None:
    planned(tmp_path)
    images = [encoded(picture(number, (16, 16))) for number in (41, 12)] + [b"no image"]
    members = [
        (f"{n}.{kind}", data) for n, image in enumerate(images) for kind, data in (("png", image), ("txt", b"x"))
    ]
    path = tar(tmp_path / "laion" / "0.tar", members)
    plan = build_stream("mine", ["new"], ["old"], 0, "given", str(tmp_path), [str(path)])
    assert found(plan) == {
        "exact duplicate": ["old test 1 is the pool, 0.tar 1"],
        "skipped": [f"{path}: 2: broken"],
    }


def test_the_pockets_images_are_compared_too(tmp_path: Path) -> None:
    plan = build_stream("p", ["pocket_solids"], ["pocket_counting"], 50, "given", str(tmp_path))
    report = verify(plan)
    counts = {"held out": (40 + 300) * len(np.unique(plan_classes("pocket_counting"))), "trained on": 60 * 8 + 50}
    assert report.num_images == counts and not report.faults


def plan_classes(name: str) -> tuple[str, ...]:
    from streams import open_named

    return open_named(name, Path("data")).card.classes


def test_every_kind_of_finding_has_words() -> None:
    assert not set(FAULTS) & set(NOTES)
    report = SoundnessReport(1, {}, None, {"left out": ["a+++b"], "absent class": [str(Concept("a", "c"))]})
    assert list(report.faults) == ["absent class"]


def test_an_image_under_two_classes_is_noted(tmp_path: Path) -> None:
    noted = found(planned(tmp_path, new=[("owl", 1), ("emu", 1), ("owl", 2)]))
    assert noted["labels disagree"] == ["new train 0 and 1 are one image in two classes"]


def test_what_concerns_a_dataset_as_a_whole_is_noted(tmp_path: Path) -> None:
    noted = verify(planned(tmp_path, new=[("owl", 1)] + [("emu", number) for number in range(40, 145)])).findings
    assert [text.split(":")[0] for text in noted["dataset"]] == ["new"] and "very unequal" in noted["dataset"][0]


def test_prompts_that_the_context_cuts_are_noted(tmp_path: Path) -> None:
    noted = verify(planned(tmp_path), num_cut=lambda card: 3 if card.name == "old" else 0).findings
    assert noted["cut texts"] == ["old: 3 prompts"]
