"""A split that was made beforehand is used as it is, wherever and however it was written down."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fomo.data.importing.split_lists import splits_by_list
from fomo.data.importing.splits import named_split, split_folders
from fomo.errors import FomoError
from tests.fomo.data.importing.trees import COLOURS, PARTS, fill, import_folder, samples, sizes
from tests.fomo.helpers import picture, put, status

LAYOUTS = {
    "split first": "{split}/{colour}",
    "class first": "{colour}/{split}",
    "in folders that lead there": "archive/Data/CLS-LOC/{split}/{colour}",
    "class first, in a folder": "data/{colour}/{split}",
    "unpacked twice": "{split}/{split}/{colour}",
    "class in the name": "{colour}_{split}",
    "images in each split": "{split}/images/{colour}",
    "images in each class": "{split}/{colour}/images",
    "data around the classes": "data/{split}/Images/{colour}",
    "class and split in the name of a class": "{colour}/{colour}-{split}",
    "folders within the class": "{split}/{colour}/",
    "with a common word": "seg_{split}/seg_{split}/{colour}",
    "with the name of the data": "asl_alphabet_{split}/{colour}",
}
NAMES = {
    "plain": {},
    "long": {"train": "training", "val": "validation", "test": "testing"},
    "capitals": {"train": "Train", "val": "Valid", "test": "TEST"},
    "speech": {"train": "train", "val": "dev", "test": "eval"},
    "set": {"train": "trainset", "val": "valset", "test": "testset"},
    "Set": {"train": "TrainingSet", "val": "ValidationSet", "test": "TestSet"},
    "images": {"train": "train_images", "val": "val_images", "test": "test_images"},
    "years": {"train": "train2017", "val": "val2017", "test": "test2017"},
    "numbered": {"train": "01_train", "val": "02-val", "test": "03 test"},
    "spoken": {"train": "Training Data", "val": "Development", "test": "Evaluation Data"},
    "german": {"train": "Trainingsdaten", "val": "Validierung", "test": "Testdaten"},
    "short": {"train": "tr", "val": "va", "test": "te"},
    "portuguese, letters in parts": {"train": "treino", "val": "validac\u0327a\u0303o", "test": "teste"},
    "chinese": {"train": "训练集", "val": "验证集", "test": "测试集"},
    "japanese": {"train": "学習用データ", "val": "検証用", "test": "テスト"},
    "union": {"test": "valtest"},
}


def tree(root: Path, layout: str, names: Mapping[str, str] = {}) -> Path:
    spec = {layout.format(split=names.get(s, s), colour=c): n for s, n in PARTS.items() for c in COLOURS}
    return fill(root, spec)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_split_folders_are_used_at_any_level(tmp_path: Path, layout: str) -> None:
    card = import_folder(tree(tmp_path / "root", layout))
    assert card.classes == ("blue", "green", "red") and sizes(card) == (30, 9, 18) and card.counts == {}
    assert "split given by its folders" in card.source and "test" in card.source


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_split_folders_are_used_under_any_common_name(tmp_path: Path, names: dict[str, str]) -> None:
    card = import_folder(tree(tmp_path / "root", "{split}/{colour}", names))
    assert card.classes == ("blue", "green", "red") and sizes(card) == (30, 9, 18)


def test_names_of_files_may_say_the_split(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"red": 3, "green": 3})
    for file in sorted(root.rglob("*.png")):
        file.rename(file.with_name(f"{('train', 'train', 'test')[int(file.stem)]}_{file.name}"))
    card = import_folder(root)
    assert sizes(card) == (4, 0, 2) and "names of its files" in card.source


def test_names_of_files_that_follow_their_class_say_no_split(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"red": 3, "green": 3})
    for file in sorted(root.rglob("*.png")):
        file.rename(file.with_name(f"{'train' if file.parent.name == 'red' else 'test'}_{file.name}"))
    assert "given" not in import_folder(root).source


def test_no_test_image_is_trained_on(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "{split}/{colour}")
    put(root / "train" / "red" / "leaked.png", picture(10**6))
    put(root / "test" / "red" / "leaked.png", picture(10**6))
    card = import_folder(root)
    assert card.counts == {"exact duplicate of an image in another split": 1} and sizes(card) == (30, 9, 19)
    found = samples(root)
    assert not {p for _, p, _ in found["train"]} & {p for _, p, _ in found["test"]}
    assert {p for _, p, _ in found["test"]} >= {picture(10**6).tobytes()}


@pytest.mark.parametrize("rule", ["hash", "stratified"])
def test_another_split_is_made_on_demand_and_the_folders_are_no_classes(tmp_path: Path, rule: str) -> None:
    card = import_folder(tree(tmp_path / "root", "{split}/{colour}"), splits=rule)
    assert card.classes == ("blue", "green", "red") and sum(sizes(card)) == 57 and sizes(card) != (30, 9, 18)
    assert f"split made here: {rule}" in card.source


def test_folders_can_be_classes_whatever_their_names(tmp_path: Path) -> None:
    card = import_folder(fill(tmp_path / "root", {"train": 5, "test": 5}), splits="ignore")
    assert card.classes == ("test", "train") and "given" not in card.source


def test_part_of_a_split_is_a_split_too(tmp_path: Path) -> None:
    card = import_folder(fill(tmp_path / "root", {"train/red": 5, "train/green": 5, "val/red": 2}))
    assert card.classes == ("green", "red") and sizes(card) == (10, 2, 0)


@pytest.mark.parametrize("spec", [{"train/red": 5, "train/green": 4}, {"red/train": 5, "green/train": 4}])
def test_training_images_alone_are_no_test_images(tmp_path: Path, spec: dict[str, int]) -> None:
    card = import_folder(fill(tmp_path / "root", spec))
    assert card.classes == ("green", "red") and sizes(card) == (9, 0, 0)


def test_a_class_need_not_be_in_every_split(tmp_path: Path) -> None:
    card = import_folder(fill(tmp_path / "root", {"red/train": 3, "red/test": 2, "green/train": 4, "blue/test": 1}))
    assert card.classes == ("blue", "green", "red") and sizes(card) == (7, 0, 3)


def test_classes_of_several_folders_keep_all_their_names(tmp_path: Path) -> None:
    spec = {f"animals/big_cats/{s}": 2 for s in PARTS} | {f"animals/dogs/{s}": 2 for s in PARTS}
    assert import_folder(fill(tmp_path / "one" / "root", spec)).classes == ("big cats", "dogs")
    spec = {f"{s}/animals/big_cats": 2 for s in PARTS} | {f"{s}/plants": 2 for s in PARTS}
    assert import_folder(fill(tmp_path / "two" / "root", spec)).classes == ("animals big cats", "plants")


@pytest.mark.parametrize(
    "folders",
    [
        ("bus", "car", "train"),
        ("train station", "bus stop", "test tube"),
        ("steam train", "bullet train"),
        ("vehicles/train", "vehicles/car"),
        ("model train", "crash test dummy"),
        ("tr", "te", "en", "de", "fr"),
        ("valley", "testament", "trainer", "device"),
    ],
)
def test_classes_that_are_called_like_a_split_stay_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    card = import_folder(fill(tmp_path / "root", dict.fromkeys(folders, 5)))
    assert len(card.classes) == len(folders) and "given" not in card.source


def test_images_outside_of_the_split_are_left_out_and_counted(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "{split}/{colour}")
    fill(root, {"extra/red": 2, "train": 1, "": 1}, start=1000)
    card = import_folder(root)
    assert sizes(card) == (30, 9, 18)
    assert card.counts == {"outside of the split folders": 3, "in a part of the split, without a class": 1}


def test_unlabelled_test_images_are_left_out_and_counted(tmp_path: Path) -> None:
    card = import_folder(fill(tmp_path / "root", {"train/red": 4, "train/blue": 4, "test": 7}))
    assert sizes(card) == (8, 0, 0) and card.counts == {"in a part of the split, without a class": 7}


def test_images_of_a_split_without_classes_are_no_class(tmp_path: Path) -> None:
    spec = {"train/n01/images": 4, "train/n02/images": 4, "val/images": 3, "test/images": 3}
    card = import_folder(fill(tmp_path / "root", spec))
    assert card.classes == ("n01", "n02") and sizes(card) == (8, 0, 0)
    assert card.counts == {"in a part of the split, without a class": 6}


def test_one_class_is_named_by_the_folder_that_holds_its_split(tmp_path: Path) -> None:
    assert import_folder(fill(tmp_path / "reds" / "root", {"red/train": 3, "red/test": 2})).classes == ("red",)
    assert import_folder(fill(tmp_path / "flat" / "root", {"train": 3, "test": 2})).classes == ("root",)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"train/a": 2, "val/a": 2, "valid/a": 2}, "'val' and 'valid' are both the validation split"),
        ({"train/a": 2, "Training/a": 2, "test/a": 2}, "'Training' and 'train' are both the train split"),
        ({"train": 2, "test": 2, "cat": 2, "dog": 2, "cow": 2}, "look like a split, 'cat', 'cow', 'dog' beside them"),
        ({"train/train/a": 2, "train/val/a": 2, "test/a": 2}, "look like a split inside of another split"),
        ({f"{part}/{name}": 1 for part in ("train", "query", "gallery") for name in "ab"}, "hold the same folders"),
        ({f"fold{part}/{name}": 1 for part in (1, 2) for name in "ab"}, "'fold1' and 'fold2' hold the same folders"),
        ({f"{part}/a": 1 for part in ("train", "val", "test-A", "test-B")}, "'test-A', 'test-B' beside them"),
        ({f"{part}/a": 1 for part in ("train", "val_seen", "test_seen", "val_new", "test_new")}, "'train' beside them"),
        ({"a/train": 1, "a/test": 1, "b": 5, "c": 5}, "most images lie elsewhere, as in 'b'"),
    ],
)
def test_a_split_that_is_not_clear_is_refused_with_the_ways_out(
    tmp_path: Path, spec: dict[str, int], text: str
) -> None:
    root = fill(tmp_path / "root", spec)
    with pytest.raises(FomoError, match=text) as caught:
        import_folder(root)
    assert "ignore" in str(caught.value)
    if "hold the same" in text:
        with pytest.raises(FomoError, match=text):
            import_folder(root, splits="stratified")
    assert sum(sizes(import_folder(root, splits="ignore"))) == sum(spec.values())


@pytest.mark.parametrize("layout", ["{domain}/{split}/{name}", "{split}/{domain}/{name}"])
def test_a_folder_that_says_something_beside_others_is_part_of_the_class(tmp_path: Path, layout: str) -> None:
    parts = {layout.format(domain=d, split=s, name=n): 1 for d in ("photo", "art") for s in PARTS for n in COLOURS[:2]}
    classes = import_folder(fill(tmp_path / "root", parts)).classes
    assert classes == ("art green", "art red", "photo green", "photo red")


def test_numbered_parts_of_a_split_are_taken_together(tmp_path: Path) -> None:
    card = import_folder(fill(tmp_path / "root", {"train_1/a": 2, "train_2/a": 3, "train_2/b": 1, "test/a": 2}))
    assert card.classes == ("a", "b") and sizes(card) == (6, 0, 2)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("TRAIN", "train"),
        ("trainval", "train"),
        ("train_val", "train"),
        ("Test-Dev", "test"),
        ("held-out", "test"),
        ("holdout", "test"),
        ("imagenet1k-validation-03", "validation"),
        ("evaluation_set", "test"),
        ("cat", None),
        ("trainer", None),
        ("testament", None),
        ("value", None),
        ("", None),
        ("2017", None),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    named = named_split(name)
    assert (named.split if named else None) == split


def test_a_tree_without_splits_has_none() -> None:
    assert split_folders([("a",), ("b", "c")]) is None and split_folders([()]) is None and split_folders([]) is None


LISTS = {
    "paths": "{path}",
    "without endings": "{plain}",
    "below images": "images/{path}",
    "from a root of others": "/home/me/data/{path}",
    "with a number": "{path} 3",
    "with a tab": "{path}\t3",
    "with commas": "{path},red,3",
    "from windows": ".\\{windows}",
}


def written(root: Path, splits: Mapping[str, str], form: str, suffix: str, folder: str = "") -> Path:
    for name in sorted(set(splits.values())):
        lines = [
            form.format(path=path, plain=path.rpartition(".")[0], windows=path.replace("/", "\\"))
            for path, split in splits.items()
            if split == name
        ]
        put(root / folder / f"{name}{suffix}", "\n".join(lines) + "\n")
    return root


def assigned(root: Path) -> dict[str, str]:
    """A split of the images of ``root``: every second is tested on, every tenth validated on."""
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    return {p: "test" if n % 2 else "train" if n % 10 else "val" for n, p in enumerate(paths)}


@pytest.mark.parametrize("form", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize(("suffix", "folder"), [(".txt", ""), ("_list.txt", "meta"), (".lst", "splits/official")])
def test_lists_of_files_are_used(tmp_path: Path, form: str, suffix: str, folder: str) -> None:
    root = fill(tmp_path / "root", {"red": 10, "green": 10})
    card = import_folder(written(root, assigned(root), form, suffix, folder))
    assert card.classes == ("green", "red") and sizes(card) == (8, 2, 10) and card.counts == {}
    assert "split given by its lists" in card.source


def test_lists_in_each_class_name_the_files_beside_them(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"red": 4, "green": 4})
    for name in ("red", "green"):
        put(root / name / "train.txt", "000.png\n001.png\n002\n")
        put(root / name / "test.txt", "003.png\n")
    card = import_folder(root)
    assert sizes(card) == (6, 0, 2) and card.counts == {}


JSON = {
    "a list": lambda names: names,
    "lists by class": lambda names: {name.split("/")[0]: [name] for name in names},
}


@pytest.mark.parametrize("form", JSON)
def test_lists_may_be_json_and_stand_beside_a_text_of_the_same(tmp_path: Path, form: str) -> None:
    root = fill(tmp_path / "root", {"red": 2, "green": 2})
    for number, split in enumerate(("train", "test")):
        names = [f"red/00{number}", f"green/00{number}"]
        put(root / "meta" / f"{split}.json", json.dumps(JSON[form](names)))
        put(root / "meta" / f"{split}.txt", "\n".join(names))
    card = import_folder(root)
    assert sizes(card) == (2, 0, 2) and card.counts == {}


def test_a_file_named_like_a_split_that_lists_nothing_is_said(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"red": 5, "green": 5})
    put(root / "train.json", '{"how": "unknown"}')
    put(root / "test.txt", "7 8 9\n")
    assert import_folder(root).counts == {"named like a split, lists no image": 2}


def test_what_no_list_names_is_trained_on_only_where_nothing_lists_the_training_split(tmp_path: Path) -> None:
    root = fill(tmp_path / "one" / "root", {"red": 10, "green": 10})
    put(root / "testing_list.txt", "red/001.png\ngreen/001.png\n")
    put(root / "validation_list.txt", "red/002.png\n")
    assert sizes(import_folder(root)) == (17, 1, 2)
    root = fill(tmp_path / "two" / "root", {"red": 10, "green": 10})
    put(root / "train.txt", "red/001.png\ngreen/001.png\n")
    put(root / "test.txt", "red/002.png\nnot/there.png\ngreen/003.png\n")
    card = import_folder(root)
    assert sizes(card) == (2, 0, 2) and card.counts == {"in no list of the split": 16}


def test_a_list_of_what_is_not_there_takes_no_other_image(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"cat": 3, "dog/more": 4})
    put(root / "train.txt", "cat/000.png\ncat/001.png\ndog/more/000.png\n")
    put(root / "test.txt", "cat/002.png\nbird/003.png\ndog/more/002.png\n")
    card = import_folder(root)
    assert sizes(card) == (3, 0, 2) and card.counts == {"in no list of the split": 2}


def test_lists_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"red": 4})
    put(root / "train.txt", "red/001.png\n")
    put(root / "test.txt", "red/001.png\n")
    with pytest.raises(FomoError, match=r"lists 'red/001.png'.*--splits"):
        import_folder(root)
    (root / "test.txt").rename(root / "train2.txt")
    with pytest.raises(FomoError, match="both list the train split"):
        import_folder(root)
    assert sum(sizes(import_folder(root, splits="stratified"))) == 4


def test_the_union_of_two_lists_is_no_third_split(tmp_path: Path) -> None:
    images = [f"{number}.jpg" for number in range(6)]
    lists = {"train": images[:2], "val": images[2:4], "trainval": images[:4], "test": images[4:]}
    paths = [put(tmp_path / f"{name}.txt", "\n".join(named)) for name, named in lists.items()]
    splits, _ = splits_by_list(paths, images, tmp_path)
    assert [list(splits.values()).count(split) for split in ("train", "validation", "test")] == [2, 2, 2]
    splits, _ = splits_by_list([path for path in paths if path.stem not in ("train", "val")], images, tmp_path)
    assert [list(splits.values()).count(split) for split in ("train", "validation", "test")] == [4, 0, 2]


def test_texts_that_are_no_lists_make_no_split(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"red": 10, "green": 10})
    put(root / "test.txt", "this is a test of nothing\nthere are many lines\nbut no files\n")
    put(root / "train.txt", b"\xff\xfe\xff")
    put(root / "red" / "train.png", picture(5000))
    put(root / "red" / "train.txt", "a red train\n")
    card = import_folder(root)
    assert sum(sizes(card)) == 21 and "given" not in card.source
    assert ["a red train"] in [texts for part in samples(root).values() for _, _, texts in part]


def test_metadata_beside_split_folders_gives_classes_captions_and_splits(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"train": 6, "validation": 2, "test": 3})
    for split, number in {"train": 6, "validation": 2, "test": 3}.items():
        rows = [
            {"file_name": f"{n:03d}.png", "label": COLOURS[n % 2], "text": f"a {COLOURS[n % 2]} thing"}
            for n in range(number)
        ]
        put(root / split / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    card = import_folder(root)
    assert card.classes == ("green", "red") and sizes(card) == (6, 2, 3) and card.counts == {}
    assert {name: texts for name, _, texts in samples(root)["test"]} == {
        "red": ["a red thing"],
        "green": ["a green thing"],
    }


def test_metadata_may_hold_the_split_itself(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"images": 6})
    rows = [f"images/{n:03d}.png,{COLOURS[n % 2]},{('train', 'test', 'val')[n % 3]}" for n in range(6)]
    put(root / "metadata.csv", "file_name,label,split\n" + "\n".join(rows))
    card = import_folder(root)
    assert card.classes == ("green", "red") and sizes(card) == (2, 2, 2) and card.counts == {}
    assert "split given by its tables" in card.source


def test_a_given_split_goes_on_after_an_interruption_to_the_same_bytes(tmp_path: Path) -> None:
    from fomo.data.importing.folder import folder_source
    from fomo.data.importing.job import bring_in

    source = folder_source(tree(tmp_path / "root", "{split}/{colour}"), "mine")
    bring_in(source, tmp_path / "whole")
    ticks: list[int] = []

    def stop(number: int) -> None:
        ticks.append(number)
        if sum(ticks) > 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_in(source, tmp_path / "out", 1, stop)
    bring_in(source, tmp_path / "out")
    whole, again = ({p.name: p.read_bytes() for p in (tmp_path / o / "mine").iterdir()} for o in ("whole", "out"))
    assert whole == again


def test_the_command_takes_and_refuses_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tree(tmp_path / "root", "{split}/{colour}")
    arguments = ["data", "import", "folder", str(root), "--name", "mine", "--out", str(tmp_path / "out")]
    assert status(*arguments, "--splits", "mine") == 2
    assert "unknown value of --splits 'mine'" in capsys.readouterr().err
    assert status(*arguments, "--workers", "1") == 0
    shown = capsys.readouterr().out
    assert "mine: 3 classes" in shown and "split given by its folders: test, train, val" in shown


WHOLE = {
    "split_zhou_Things.json": lambda splits: json.dumps(
        {name: [[path, 0, "red"] for path, split in splits.items() if split == name] for name in set(splits.values())}
    ),
    "splits.json": lambda splits: json.dumps(
        {name: [path for path, split in splits.items() if split == name] for name in set(splits.values())}
    ),
    "meta/split.csv": lambda splits: "image,split\n" + "".join(f"{path},{split}\n" for path, split in splits.items()),
    "labels.csv": lambda splits: "file,label,split\n" + "".join(f"{p},{p[:3]},{s}\n" for p, s in splits.items()),
    "list_eval_partition.txt": lambda splits: "".join(
        f"{p} {('train', 'val', 'test').index(s)}\n" for p, s in splits.items()
    ),
    "eval/list_eval_partition.csv": lambda splits: (
        "image_id,partition\n" + "".join(f"{p},{('train', 'val', 'test').index(s)}\n" for p, s in splits.items())
    ),
    "Eval/list_eval_partition.txt": lambda splits: (
        "image_name evaluation_status\n" + "".join(f"{p}   {s}\n" for p, s in splits.items())
    ),
    "split.txt": lambda splits: "".join(f"{p}\t{s}\n" for p, s in splits.items()),
    "partition.jsonl": lambda splits: "".join(json.dumps({"path": p, "subset": s}) + "\n" for p, s in splits.items()),
}


@pytest.mark.parametrize("file", WHOLE)
def test_one_file_may_hold_the_whole_split(tmp_path: Path, file: str) -> None:
    root = fill(tmp_path / "root", {"red": 10, "green": 10})
    put(root / file, WHOLE[file](assigned(root)))
    card = import_folder(root)
    assert card.classes == ("green", "red") and sizes(card) == (8, 2, 10) and card.counts == {}


def test_numbers_of_images_may_say_what_is_trained_on(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"images/red": 2, "images/green": 2})
    paths = [f"{colour}/00{number}.png" for colour in ("red", "green") for number in range(2)]
    put(root / "images.txt", "".join(f"{number} {path}\n" for number, path in enumerate(paths, 1)))
    put(root / "train_test_split.txt", "1 1\n2 0\n3 1\n4 1\n")
    assert sizes(import_folder(root)) == (3, 0, 1)


@pytest.mark.parametrize(
    "content", ["[1]", "{", "3", '{"train": 3}', '{"a": ["red/000.png"]}', '{"train": [[], 5, {}]}']
)
def test_a_file_that_is_called_a_split_and_holds_none_is_passed_over(tmp_path: Path, content: str) -> None:
    root = fill(tmp_path / "root", {"red": 5})
    put(root / "split.json", content)
    put(root / "split.csv", content)
    assert "given" not in import_folder(root).source


def test_tables_of_splits_name_files_in_the_folder_of_their_split(tmp_path: Path) -> None:
    from fomo.data.importing.job import bring_in
    from fomo.data.importing.tables import table_source

    root = fill(tmp_path / "root", {"train": 4, "test": 2})
    for split, number in (("train", 4), ("test", 2)):
        rows = "".join(f"{n:03d}.png,{COLOURS[n % 2]}\n" for n in range(number))
        put(root / f"{split}.csv", f"file,label\n{rows}")
    card = bring_in(table_source([root / "train.csv", root / "test.csv"], None, "mine"), tmp_path / "out")
    assert card.classes == ("green", "red") and sizes(card) == (4, 0, 2) and card.counts == {}
    with pytest.raises(FomoError, match="fomo data import table"):
        import_folder(root)
