"""CSV, JSON lines, COCO captions and pairs of files: what they name comes in, what they lack is counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from fomo.data.card import DatasetCard
from fomo.data.importing.described import read_table
from fomo.data.importing.folder import folder_source, pairs_source
from fomo.data.importing.job import bring_in
from fomo.data.importing.tables import table_source
from fomo.errors import FomoError
from tests.fomo.data.importing.trees import fill, import_folder, options, samples, sizes
from tests.fomo.helpers import error_of, picture, put, status

ROWS = [
    {"file": "img/000.png", "class": "cat", "caption": "a grey cat", "split": "train"},
    {"file": "img/001.png", "class": "dog", "caption": "a dog, running", "split": "train"},
    {"file": "img/002.png", "class": "cat", "caption": "two cats", "split": "val"},
    {"file": "img/003.png", "class": "dog", "caption": "", "split": "test"},
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fill(tmp_path / "root", {"img": 4})


def csv_of(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    head = delimiter.join(rows[0])
    return head + "\n" + "".join(delimiter.join(f'"{value}"' for value in row.values()) + "\n" for row in rows)


def renamed(rows: list[dict[str, Any]], **names: str) -> list[dict[str, Any]]:
    return [{names.get(key, key): value for key, value in row.items()} for row in rows]


def brought_in(
    tables: Path | list[Path], images: Path | None = None, columns: dict[str, str] | None = None, **given: Any
) -> DatasetCard:
    tables = tables if isinstance(tables, list) else [tables]
    source = table_source(tables, images, "mine", options=options(**given), columns=columns)
    return bring_in(source, (images or tables[0].parent).parent / "out")


def check(card: DatasetCard, root: Path) -> None:
    """That all of :data:`ROWS` came in."""
    assert card.classes == ("cat", "dog") and sizes(card) == (2, 1, 1) and card.counts == {}
    found = samples(root)
    assert [(name, texts) for name, _, texts in found["train"]] == [
        ("cat", ["a grey cat"]),
        ("dog", ["a dog, running"]),
    ]
    assert [(name, texts) for name, _, texts in found["test"]] == [("dog", [])]


FILES = {
    "a.csv": csv_of(ROWS),
    "semicolons.csv": csv_of(ROWS, ";"),
    "a.tsv": csv_of(ROWS, "\t"),
    "other names.csv": csv_of(renamed(ROWS, file="Image Path", **{"class": "Label", "caption": "Description"})),
    "a.jsonl": "".join(json.dumps(row) + "\n\n" for row in renamed(ROWS, file="file_name", caption="text")),
    "a.json": json.dumps(renamed(ROWS, file="filepath", **{"class": "category"})),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_every_kind_and_encoding(root: Path, file: str, encoding: str) -> None:
    check(brought_in(put(root / file, FILES[file].encode(encoding))), root)


def test_columns_may_be_named(root: Path) -> None:
    table = put(
        root / "a.csv", csv_of(renamed(ROWS, file="id", **{"class": "breed", "caption": "says", "split": "use"}))
    )
    columns = {"file": "id", "class": "breed", "caption": "says", "split": "use"}
    check(brought_in(table, columns=columns), root)
    with pytest.raises(FomoError, match=r"--columns class=race: .*id, breed, says, use"):
        table_source([table], None, "mine", columns={"class": "race"})


def test_images_may_lie_elsewhere_and_names_lack_their_ending(tmp_path: Path, root: Path) -> None:
    rows = [row | {"file": row["file"][4:7]} for row in ROWS]
    check(brought_in(put(tmp_path / "labels.csv", csv_of(rows)), root), root)


def test_a_table_per_split(root: Path) -> None:
    tables = [
        put(root / f"{split}.csv", csv_of([{k: v for k, v in row.items() if k != "split"} for row in rows]))
        for split, rows in {"train": ROWS[:2], "valid": ROWS[2:3], "test": ROWS[3:]}.items()
    ]
    check(brought_in(tables), root)


def test_a_table_without_a_head_names_a_file_and_a_class(root: Path) -> None:
    table = put(root / "a.csv", "".join(f"{row['file']},{row['class']}\n" for row in ROWS))
    card = brought_in(table)
    assert card.classes == ("cat", "dog") and sum(sizes(card)) == 4


@pytest.mark.parametrize(
    ("flag", "values", "expected"),
    [
        ("is_train", "1100", (2, 0, 2)),
        ("is_valid", ("True", "False", "False", "True"), (2, 2, 0)),
        ("Test Set", ("no", "yes", "no", "no"), (3, 0, 1)),
        ("training", ("1.0", "1.0", "1.0", "0.0"), (3, 0, 1)),
    ],
)
def test_a_column_of_yes_and_no_is_a_split(root: Path, flag: str, values: str, expected: tuple[int, int, int]) -> None:
    rows = [{"file": row["file"], "class": row["class"], flag: value} for row, value in zip(ROWS, values, strict=True)]
    assert sizes(brought_in(put(root / "a.csv", csv_of(rows)))) == expected


def test_a_table_without_classes_and_captions_is_refused_with_the_way_out(root: Path) -> None:
    table = put(root / "a.csv", csv_of([{"id": row["file"], "breed": row["class"]} for row in ROWS]))
    with pytest.raises(FomoError, match="--columns class=COLUMN"):
        brought_in(table)
    assert brought_in(table, columns={"class": "breed"}).classes == ("cat", "dog")


def test_a_split_of_class_folders_needs_no_table(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {f"{split}/{name}": 2 for split in ("train", "test") for name in ("cat", "dog")})
    put(root / "train" / "metadata.jsonl", '{"file_name": "cat/000.png", "text": "a grey cat"}\n')
    card = import_folder(root)
    assert sizes(card) == (1, 0, 4) and card.counts == {"there, not named in the table": 3}


def test_several_rows_of_an_image_are_several_captions(root: Path) -> None:
    table = put(
        root / "captions.csv", "image|comment_number| comment\nimg/000.png| 0| a cat\nimg/000.png| 1| two cats\n"
    )
    card = brought_in(table)
    assert (card.kind, card.role, sizes(card)) == ("pairs", "pool", (1, 0, 0))
    assert samples(root)["train"][0][2] == ["a cat", "two cats"] and card.counts == {"there, not named in the table": 3}


def test_numbers_are_named_by_a_file(tmp_path: Path, root: Path) -> None:
    rows = [row | {"class": ("cat", "dog").index(row["class"])} for row in ROWS]
    check(brought_in(put(root / "a.csv", csv_of(rows)), classes=put(tmp_path / "names.txt", "cat\ndog\n")), root)


def test_what_is_missing_unnamed_or_leads_out_is_counted(root: Path) -> None:
    rows = [*ROWS[:3], ROWS[3] | {"file": "img/777.png"}, ROWS[3] | {"file": "../img/secret.png"}]
    put(root.parent / "img" / "secret.png", picture(9))
    rows.append({"file": "img/003.png", "class": "", "caption": "", "split": ""})
    card = brought_in(put(root / "a.csv", csv_of(rows)))
    assert card.counts == {"named in the table, not there": 1, "path out of the root": 1, "no class": 1}
    put(root / "b.csv", csv_of(ROWS[:3]))
    (root.parent / "out").rename(root.parent / "first")
    assert brought_in(root / "b.csv").counts == {"there, not named in the table": 1, "not an image by name": 1}


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("a.csv", "what,ever\n1,2\n", r"none of its columns \(what, ever\) names files.*--columns"),
        ("a.csv", "", "it is empty"),
        ("a.csv", b"file,class\n\xff\xfe", "unreadable text"),
        ("a.jsonl", '{"file": "img/000.png"}\n[1]\n', "line 2: not an object"),
        ("a.jsonl", '{"file": 1.5}\n', "a row names no file"),
        ("a.json", "{}", "neither a list of objects nor COCO"),
        ("a.json", "[", "not JSON"),
        ("a.csv", "file,class\nimg/000.png,cat\nimg/000.png,dog\n", "has the class 'cat' in one row and 'dog'"),
        ("a.csv", "file,split\nimg/000.png,fold 1\n", "'fold 1' is no split"),
        (
            "a.csv",
            "file,text,class\nimg/000.png,a cat, asleep,cat\n",
            "a cat,asleep,cat' has more than 3 fields",
        ),
        ("a.txt", "img/000.png golden retriever\nimg/001.png cat\n", "more than 2 fields: those with ' ' in them need"),
        ("a.txt", "img/000.png cat\nimg/001.png golden eagle\n", "more than 2 fields"),
        ("a.txt", "img/000.png golden retriever\nimg/001.png golden eagle\n", "more than 2 fields"),
        ("a.csv", "file,class\nother/000x.png,cat\n", "none of the images that"),
        ("a.csv", "file,class\nimg/000.png,Cat\nimg/001.png,cat\n", "no model can tell apart"),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused(root: Path, file: str, content: str | bytes, text: str) -> None:
    with pytest.raises(FomoError, match=text):
        brought_in(put(root / file, content or b"\n"))
    assert not (root.parent / "out").exists()


def test_coco_captions_are_a_retrieval_set(root: Path) -> None:
    for split, numbers in {"train2017": (0, 1, 2), "val2017": (3,)}.items():
        about = {
            "images": [{"id": 10 + n, "file_name": f"{n:03d}.png"} for n in numbers],
            "annotations": [
                {"image_id": 10 + n, "id": n, "caption": f"a thing\nof {n} "} for n in (*numbers, *numbers)
            ],
            "info": {"version": float("nan")},
        }
        put(root / "annotations" / f"captions_{split}.json", json.dumps(about))
    card = brought_in(sorted((root / "annotations").glob("*.json")), root)
    assert (card.kind, card.classes, sizes(card)) == ("retrieval", (), (3, 1, 0))
    assert samples(root)["validation"][0][2] == ["a thing of 3", "a thing of 3"]


def test_karpathys_lists_are_read_too(root: Path) -> None:
    images = [
        {"filepath": "img", "filename": f"{n:03d}.png", "split": split, "sentences": [{"raw": f"thing {n}"}]}
        for n, split in enumerate(("train", "restval", "val", "test"))
    ]
    card = brought_in(put(root / "dataset_coco.json", json.dumps({"images": images, "dataset": "coco"})))
    assert card.kind == "retrieval" and sizes(card) == (2, 1, 1)


def test_a_tree_without_classes_and_a_table_with_classes_point_to_each_other(root: Path) -> None:
    put(root / "labels.csv", csv_of(ROWS))
    with pytest.raises(FomoError, match=r"labels.csv' names classes: `fomo data import table"):
        folder_source(root, "mine")


def test_hugging_faces_imagefolder_with_captions_alone_keeps_the_classes_of_its_folders(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"train/cat": 2, "train/dog": 2, "test/cat": 1, "test/dog": 1})
    rows = [
        {"file_name": f"{name}/{n:03d}.png", "text": f"{name} {n}", "score": n}
        for name in ("cat", "dog")
        for n in (0, 1)
    ]
    put(root / "train" / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    put(root / "test" / "metadata.csv", "file_name,text\ncat/000.png,old cat\ndog/000.png,old dog\n")
    card = bring_in(folder_source(root, "mine"), tmp_path / "out")
    assert card.classes == ("cat", "dog") and sizes(card) == (4, 0, 2) and card.counts == {}
    assert [texts for _, _, texts in samples(root)["test"]] == [["old cat"], ["old dog"]]


def img2dataset(root: Path) -> Path:
    """Two parts of a download: three images with text and JSON, two with JSON alone, one without either."""
    for number in range(6):
        place = root / f"{number // 3:05d}" / f"{number:09d}"
        put(place.with_suffix(".png"), picture(number))
        if number < 3:
            put(place.with_suffix(".txt"), f"picture {number}")
        if number < 5:
            put(place.with_suffix(".json"), json.dumps({"caption": f"json {number}", "url": "x", "exif": "{}"}))
    return root


def test_folders_of_pairs_become_a_pool(tmp_path: Path) -> None:
    root = img2dataset(tmp_path / "root")
    card = bring_in(pairs_source(root, "mine"), tmp_path / "out")
    assert (card.kind, card.role, card.classes, sizes(card)) == ("pairs", "pool", (), (5, 0, 0))
    assert card.counts == {"no caption": 1}
    texts = [texts for _, _, (*texts,) in samples(root)["train"]]
    assert texts == [["picture 0"], ["picture 1"], ["picture 2"], ["json 3"], ["json 4"]]


def test_parts_of_a_download_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"without classes: `fomo data import pairs`"):
        folder_source(img2dataset(tmp_path / "root"), "mine")


def test_the_commands_take_tables_and_pairs(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = put(root / "a.csv", csv_of(renamed(ROWS, **{"class": "breed"})))
    out = ["--out", str(tmp_path / "out"), "--workers", "1", "--name"]
    assert status("data", "import", "table", str(table), *out, "mine", "--columns", "class=breed") == 0
    assert "mine: 2 classes" in capsys.readouterr().out
    check(DatasetCard.from_json(json.loads((tmp_path / "out/mine/dataset.json").read_text()), ""), root)
    assert "--columns breed" in error_of(capsys, "data", "import", "table", str(table), *out, "b", "--columns", "breed")
    assert "is not a file" in error_of(capsys, "data", "import", "table", str(root / "x.csv"), *out, "b")
    assert status("data", "import", "pairs", str(img2dataset(tmp_path / "pairs")), *out, "pairs") == 0
    assert "pairs: 0 classes" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_system(tmp_path: Path, end: str) -> None:
    table = put(tmp_path / "t.csv", end.join(["file,class", "a.png,cat", "b.png,dog", ""]).encode())
    assert [(row.file, row.class_name) for row in read_table(table)] == [("a.png", "cat"), ("b.png", "dog")]


def test_a_field_that_never_ends_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"t\.csv': not a table: field larger than field limit"):
        read_table(put(tmp_path / "t.csv", "file,class\n" + "a" * 140_000))


def test_two_identifiers_of_one_name_are_not_one_class(tmp_path: Path, root: Path) -> None:
    rows = [row | {"class": {"cat": "n02012849", "dog": "n03126707"}[row["class"]]} for row in ROWS]
    names = put(tmp_path / "names.txt", "n02012849 crane\nn03126707 crane\n")
    with pytest.raises(FomoError, match="calls both 'n02012849' and 'n03126707' 'crane': rename one"):
        brought_in(put(root / "a.csv", csv_of(rows)), classes=names)


def test_two_folders_of_one_name_are_not_one_class_beside_a_table_of_captions(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"C": 2, "C++": 2, "D": 2})
    put(root / "metadata.csv", "file_name,text\nC/000.png,a letter\nC++/000.png,a language\n")
    with pytest.raises(FomoError, match="both give the class 'C': rename one"):
        import_folder(root)


def test_columns_between_spaces_and_fields_that_hold_nothing_do_no_harm(root: Path) -> None:
    lines = [f"{row['file']}  {row['class']} 1 {number}" for number, row in enumerate(ROWS)]
    assert brought_in(put(root / "a.txt", "\n".join(lines))).classes == ("cat", "dog")
    (root.parent / "out").rename(root.parent / "first")
    lines = [f"{row['file']},{row['class']},," for row in ROWS]
    assert brought_in(put(root / "a.csv", "file,class\n" + "\n".join(lines))).classes == ("cat", "dog")


def test_a_table_of_splits_whose_rows_are_uneven_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"cat": 3, "dog": 3})
    put(root / "labels.csv", "file,split,text\ncat/000.png,train,a cat, asleep\ndog/000.png,test,a dog\n")
    said = " ".join(folder_source(root, "mine").remarks)
    assert "labels.csv is not used: the row 'cat/000.png,train,a cat,asleep' has more than 3 fields" in said


def test_a_missing_image_is_not_another_one_of_its_name(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"dog": 3})
    put(root / "cat" / "a.png", picture(9))
    rows = ["bird/000.png,bird,a bird", "dog/001.png,dog,a dog", "dog/002.png,dog,another", "cat/a.png,cat,a cat"]
    card = brought_in(put(root / "a.csv", "file,class,text\n" + "\n".join(rows)))
    assert card.classes == ("cat", "dog")
    assert card.counts == {"named in the table, not there": 1, "there, not named in the table": 1}


def test_images_of_two_folders_are_not_the_one_that_is_there(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"cat": 2})
    rows = ["train/cat/000.png,first", "test/cat/000.png,second", "train/cat/001.png,third"]
    card = brought_in(put(root / "a.csv", "file,text\n" + "\n".join(rows)))
    assert samples(root)["train"] == [(None, picture(1).tobytes(), ["third"])]
    assert card.counts["named in the table, not there"] == 2


def test_a_name_without_its_ending_is_not_one_of_several_images(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"img": 3})
    put(root / "img" / "000.jpg", picture(7))
    card = brought_in(put(root / "a.csv", "id,class\nimg/000,cat\nimg/001,cat\nimg/002,dog\n"))
    assert card.counts["name of several images, told apart by their endings alone"] == 1
    assert sum(sizes(card)) == 2


def test_what_a_column_of_splits_leaves_open_is_said(root: Path) -> None:
    rows = [row | {"split": "" if row["split"] == "val" else row["split"]} for row in ROWS]
    card = brought_in(put(root / "a.csv", csv_of(rows)))
    assert sizes(card) == (3, 0, 1) and card.source.endswith("split given by its tables (1 without one are trained on)")
