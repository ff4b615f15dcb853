"""Splits that each sample says itself, in the JSON of a shard or beside an image, and columns that part images."""

import json
from pathlib import Path
from typing import Any

import pytest

from fomo.data.importing.folder import folder_source, pairs_source
from fomo.data.importing.tables import table_source
from fomo.data.importing.webdataset import webdataset_source
from fomo.errors import FomoError
from tests.fomo.data.importing.trees import brought_in, fill, import_folder, samples, sizes
from tests.fomo.helpers import encoded, picture, put, status
from tests.fomo.tars import tar

SPLITS = ("train", "train", "val", "test")
FLAGS = {"train": (1, 0, 0), "val": (0, 1, 0), "test": (0, 0, 1)}
SPELLINGS: dict[str, list[dict[str, Any]]] = {
    "split": [{"split": each} for each in SPLITS],
    "in words": [{"Split": {"val": "Validation", "test": "TESTING"}.get(each, each)} for each in SPLITS],
    "partition": [{"partition": each} for each in SPLITS],
    "subset": [{"subset": each} for each in SPLITS],
    "set": [{"set": f"{each}_set"} for each in SPLITS],
    "usage": [{"Usage": each} for each in SPLITS],
    "three flags": [
        dict(zip(("is_train", "is_val", "is_test"), map(bool, FLAGS[each]), strict=True)) for each in SPLITS
    ],
    "two flags": [{"is_train": FLAGS[each][0], "is_test": str(FLAGS[each][2])} for each in SPLITS],
}


def shard(path: Path, rows: list[dict[str, Any]], start: int = 0, **texts: str) -> Path:
    members = []
    for number, row in enumerate(rows, start):
        members += [(f"{number}.png", encoded(picture(number))), (f"{number}.json", json.dumps(row).encode())]
        members += [(f"{number}.{end}", text.encode()) for end, text in texts.items()]
    return tar(path, members)


def shards(root: Path, rows: list[dict[str, Any]], names: tuple[str, ...] = ("0.tar", "1.tar"), **texts: str) -> Path:
    """The same rows in each tar, of the class "dog", or "cat" in the first."""
    put(root / "classnames.txt", "cat\ndog\n")
    for number, name in enumerate(names):
        shard(root / name, rows, 10 * number, **({"cls": str(number)} | texts))
    return root


def imported(root: Path, **given: Any) -> Any:
    return brought_in(webdataset_source(root, "mine", **given), root.parent / "out")


@pytest.mark.parametrize("rows", SPELLINGS.values(), ids=SPELLINGS)
def test_the_json_of_samples_may_say_the_split(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    root = shards(tmp_path / "root", rows)
    card = imported(root)
    assert card.classes == ("cat", "dog") and sizes(card) == (4, 2, 2) and card.counts == {}
    assert card.source == "root; split given by the JSON of samples"
    assert [pixels for _, pixels, _ in samples(root)["test"]] == [picture(n).tobytes() for n in (3, 13)]


@pytest.mark.parametrize("rows", SPELLINGS.values(), ids=SPELLINGS)
def test_tables_know_the_same_spellings(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    root = fill(tmp_path / "root", {"": 4})
    lines = [json.dumps({"file": f"{n:03d}.png", "label": "ab"[n % 2]} | row) for n, row in enumerate(rows)]
    card = brought_in(table_source([put(root / "a.jsonl", "\n".join(lines))], None, "mine"), tmp_path / "out")
    assert sizes(card) == (2, 1, 1)


@pytest.mark.parametrize(("rule", "expected"), [("stratified", (6, 0, 2)), ("ignore", (8, 0, 0))])
def test_another_rule_overrules_the_json(tmp_path: Path, rule: str, expected: tuple[int, int, int]) -> None:
    root = shards(tmp_path / "root", SPELLINGS["split"])
    assert status("data", "import", "webdataset", str(root), "--name=mine", f"--out={tmp_path / 'out'}",
                  "--workers=1", f"--splits={rule}") == 0  # fmt: skip
    assert "JSON" not in (tmp_path / "out" / "mine" / "dataset.json").read_text()
    assert tuple(len(samples(root).get(split, ())) for split in ("train", "validation", "test")) == expected


def test_shards_and_json_that_disagree_are_refused_with_the_ways_out(tmp_path: Path) -> None:
    root = shards(tmp_path / "root", [{"split": "train"}, {"split": "test"}], ("train-0.tar", "train-1.tar"))
    with pytest.raises(FomoError, match=r"train-0.tar/1'.*JSON says 'test'.*the train split.*--splits ignore"):
        imported(root)
    assert sizes(imported(root, splits="ignore")) == (4, 0, 0)


def test_shards_and_json_that_agree_are_taken(tmp_path: Path) -> None:
    root = shards(tmp_path / "root", [{"split": "train"}, {}], ("train-0.tar",))
    shard(root / "val-1.tar", [{"split": "validation"}, {}], 10, cls="1")
    card = imported(root)
    assert sizes(card) == (2, 2, 0) and card.source == "root; split given by its shards' names"


def test_a_sample_that_says_no_split_is_trained_on_and_counted(tmp_path: Path) -> None:
    card = imported(shards(tmp_path / "root", [{"split": "test"}, {"split": None}, {}]))
    assert sizes(card) == (4, 0, 2) and "(4 without one are trained on)" in card.source


def test_json_that_says_what_is_no_split_is_refused_with_the_way_out(tmp_path: Path) -> None:
    root = shards(tmp_path / "root", [{"subset": "cc3m"}, {"subset": "cc12m"}])
    with pytest.raises(FomoError, match=r"--splits ignore.*'cc3m' is no split"):
        imported(root)
    assert sizes(imported(root, splits="ignore")) == (4, 0, 0)


def test_pairs_of_which_some_are_tested_on_are_scored(tmp_path: Path) -> None:
    shard(tmp_path / "root" / "0.tar", SPELLINGS["split"], txt="a text")
    card = imported(tmp_path / "root")
    assert (card.kind, card.role, sizes(card)) == ("retrieval", "unassigned", (2, 1, 1))


def test_pairs_of_which_all_are_trained_on_stay_a_pool(tmp_path: Path) -> None:
    shard(tmp_path / "root" / "0.tar", [{"split": "train"}], txt="a text")
    assert imported(tmp_path / "root").kind == "pairs"


def test_our_own_shards_are_not_asked(tmp_path: Path) -> None:
    fill(tmp_path / "tree", {"train/a": 2, "train/b": 2, "test/a": 2})
    brought_in(folder_source(tmp_path / "tree", "own"), tmp_path)
    assert sizes(imported(tmp_path / "own")) == (4, 0, 2)


@pytest.mark.parametrize("key", ["split", "is_test"])
def test_json_beside_images_may_say_the_split(tmp_path: Path, key: str) -> None:
    root = fill(tmp_path / "root", {"cat": 4, "dog": 4})
    for file in root.rglob("*.png"):
        is_test = file.stem == "003"
        said = is_test if key == "is_test" else "test" if is_test else "train"
        put(file.with_suffix(".json"), json.dumps({key: said, "caption": "a text"}))
    card = import_folder(root)
    assert (card.classes, sizes(card), card.counts) == (("cat", "dog"), (6, 0, 2), {})
    assert "JSON beside" in card.source
    pairs = brought_in(pairs_source(root, "mine"), tmp_path / "pairs")
    assert (pairs.kind, sizes(pairs)) == ("retrieval", (6, 0, 2))


def test_json_beside_images_that_contradicts_their_folders_is_refused(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"train/cat": 2, "train/dog": 2, "test/cat": 1})
    put(root / "train" / "cat" / "001.json", '{"split": "test"}')
    with pytest.raises(FomoError, match=r"001.json' says 'test', and the train split was given by its folders"):
        import_folder(root)


def remarks_of(root: Path) -> list[str]:
    return list(folder_source(root, "mine").remarks)


@pytest.mark.parametrize("name", ["folds.csv", "metadata.csv", "meta/esc50.csv"])
def test_a_column_of_folds_is_said_not_to_be_used(tmp_path: Path, name: str) -> None:
    root = fill(tmp_path / "root", {"cat": 3, "dog": 3})
    lines = [f"{kind}/00{number}.png,{number}" for kind in ("cat", "dog") for number in range(3)]
    put(root / name, "\n".join(["file_name,Fold", *lines]))
    assert [remark for remark in remarks_of(root) if f"'Fold' in {Path(name).name} is not used" in remark]
    arguments = ("data", "import", "folder", str(root), "--name=mine", f"--out={tmp_path / 'out'}", "--workers=1")
    assert status(*arguments) == 0


def test_the_remark_is_shown_and_holds_for_tables_and_shards_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = fill(tmp_path / "images", {"": 2})
    put(images / "a.csv", "file,label,cv_fold,split\n000.png,cat,1,train\n001.png,dog,2,test\n")
    shards(tmp_path / "shards", [{"fold": 1}])
    for kind, path in (("table", images / "a.csv"), ("webdataset", tmp_path / "shards")):
        arguments = ("data", "import", kind, str(path), f"--name={kind}", f"--out={tmp_path / 'out'}", "--workers=1")
        assert status(*arguments) == 0
        shown = capsys.readouterr().out
        assert "fold' in" in shown and "folds do not say what is tested on" in shown and "'split' in" not in shown


def test_a_split_column_that_is_not_used_is_said(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"cat": 2, "dog": 2})
    put(root / "attributes.csv", "image_id,partition\ncat/000.png,0\ndog/001.png,2\n")
    assert any("'partition'" in remark and "'0' is no split" in remark for remark in remarks_of(root))
    beside = fill(tmp_path / "beside", {f"{split}/{kind}": 2 for split in ("train", "test") for kind in "ab"})
    put(beside / "labels.csv", "file,split\ntrain/a/000.png,test\n")
    assert any("'split' in labels.csv is not used: split given by its folders" in each for each in remarks_of(beside))


@pytest.mark.parametrize("row", ["file,split\nelsewhere.png,0", "file,note\n000.png,x", "a,split\n000.png,0", ""])
def test_other_tables_are_not_remarked_on(tmp_path: Path, row: str) -> None:
    root = fill(tmp_path / "root", {"cat": 2, "dog": 2})
    put(root / "a.csv", row or "file,split")
    assert remarks_of(root) == []


def test_two_flags_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"": 1})
    put(root / "a.csv", "file,label,is_train,is_test\n000.png,cat,1,1\n")
    with pytest.raises(FomoError, match="'train and test' is no split"):
        table_source([root / "a.csv"], None, "mine")
