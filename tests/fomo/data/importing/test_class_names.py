"""Names of classes: those that no model tells apart are refused, identifiers are looked up."""

import json
from pathlib import Path

import pytest

from fomo.data.importing.class_names import read_names, told_apart_by
from fomo.errors import FomoError
from tests.fomo.data.importing.trees import fill, import_folder, sizes
from tests.fomo.helpers import error_of, put

NFC, NFD = "caf\u00e9", "cafe\u0301"
ALIKE = [
    ("Apple", "apple"),
    (NFC, NFD),
    ("fish", "\ufb01sh"),
    ("Tom & Jerry", "Tom &amp; Jerry"),
    ("Tom & Jerry", "Tom &amp;amp; Jerry"),
    ("big cat", "big  cat"),
    ("big cat", "big\u00a0cat"),
    ("ＣＡＴ", "cat"),
    ("Straße", "STRASSE"),
    ("zero\u200bwidth", "zerowidth"),
    ("Don&#39;t", "don't"),
    ("Ⅷ", "viii"),
    ("rock 'n' roll", "rock \u2019n\u2019 roll"),
    ("café", "cafÃ©"),
]


@pytest.mark.parametrize("pair", ALIKE)
def test_classes_that_no_model_tells_apart_are_refused_and_both_named(tmp_path: Path, pair: tuple[str, str]) -> None:
    root = fill(tmp_path / "root", {pair[0]: 2, pair[1]: 2})
    if len(list(root.iterdir())) == 1:
        pytest.skip("this file system takes both names for one")
    with pytest.raises(FomoError) as caught:
        import_folder(root)
    assert all(name in str(caught.value) for name in pair) and "rename one of them" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_one_class_may_be_written_in_two_forms_of_unicode_in_two_splits(tmp_path: Path) -> None:
    card = import_folder(fill(tmp_path / "root", {f"train/{NFC}": 3, f"test/{NFD}": 2, "train/x": 1, "test/x": 1}))
    assert card.classes == (NFC, "x") and sizes(card) == (4, 0, 3)


def test_one_class_in_two_cases_in_two_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="no model can tell apart"):
        import_folder(fill(tmp_path / "root", {"train/Apple": 3, "test/apple": 2}))


@pytest.mark.parametrize("pair", [("C", "C++"), ("cat", "cats"), ("C#", "C++"), ("é", "e"), ("猫", "狗"), ("7", "8")])
def test_other_names_are_told_apart(pair: tuple[str, str]) -> None:
    assert told_apart_by(pair[0]) != told_apart_by(pair[1])


IDS = {"n01440764": "tench", "n01443537": "goldfish", "n02119789": "kit fox"}
FILES = {
    "mapping.txt": "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn02119789 kit fox\n",
    "tabs.txt": "n01440764\ttench\nn01443537\tgoldfish\nn02119789\tkit fox\n",
    "commas.csv": "n01440764,tench\nn01443537,goldfish\nn02119789,kit fox",
    "with a head.csv": "id,name\nn01440764,tench\nn01443537,goldfish\nn02119789,kit fox",
    "marked.txt": "\ufeffn01440764: tench\r\nn01443537: goldfish\r\nn02119789: kit fox\r\n",
    "map_clsloc.txt": "n01440764 2 tench\nn01443537 3 goldfish\nn02119789 1 kit_fox\n",
    "three columns.csv": 'number,id,name\n0,n01440764,tench\n1,n01443537,goldfish\n2,n02119789,"kit fox, Vulpes"\n',
    "quoted.csv": '"id","name"\n"n01440764","tench"\n"n01443537","goldfish"\n"n02119789","kit fox"\n',
    "plain.json": json.dumps(IDS),
    "index.json": json.dumps({str(n): [key, name.replace(" ", "_")] for n, (key, name) in enumerate(IDS.items())}),
}


@pytest.mark.parametrize("file", FILES)
def test_identifiers_are_looked_up_in_a_file(tmp_path: Path, file: str) -> None:
    root = fill(tmp_path / "root", {f"{split}/{key}": 2 for key in IDS for split in ("train", "val")})
    card = import_folder(root, classes=put(tmp_path / file, FILES[file]))
    assert card.classes == ("goldfish", "kit fox", "tench") and sizes(card) == (6, 6, 0)


@pytest.mark.parametrize("file", [("names.txt", "cat\ndog\n10 pins\n"), ("names.json", '["cat", "dog", "10 pins"]')])
def test_numbers_are_looked_up_in_a_list(tmp_path: Path, file: tuple[str, str]) -> None:
    root = fill(tmp_path / "root", {"0": 2, "1": 2, "2": 2})
    assert import_folder(root, classes=put(tmp_path / file[0], file[1])).classes == ("10 pins", "cat", "dog")


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
@pytest.mark.parametrize("head", ["", "name,id\n"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_name_may_stand_before_its_number(tmp_path: Path, name: str, head: str, sign: str) -> None:
    lines = f"{head}sea_lion,1\ncat,2\ndog,0\n"
    names = read_names(put(tmp_path / name, lines.replace(",", sign)))
    assert [names[number] for number in "012"] == ["dog", "sea lion", "cat"]


def test_the_head_of_a_column_is_no_class(tmp_path: Path) -> None:
    assert read_names(put(tmp_path / "a.csv", "class_name\ncat\ndog\n")).listed == ["cat", "dog"]
    assert read_names(put(tmp_path / "a.txt", "label\ncat\ndog\n")).listed == ["label", "cat", "dog"]


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("a.csv", "class,kind\ncat,animal\ndog,animal\n", "do not say which class has which name"),
        ("a.csv", "cat,17\ndog,4\n", "do not say which class has which name"),
        ("a.txt", "n1 cat\nn2 dog\n", "unknown class in 'PATH' 'n3'"),
        ("a.txt", "cat\ndog\n", "lists 2 names: 'n1' is no number"),
        ("a.txt", "n1 crane\nn2 crane\nn3 owl\n", "both give the class 'crane'"),
        ("a.txt", "n1 crane\nn2 Crane\nn3 owl\n", "no model can tell apart"),
        ("a.txt", "n1 cat\nn1 dog\n", "an identifier stands twice"),
        ("a.txt", "\n", "no class name"),
        ("a.txt", b"\xff\xfe\xff", "not text in UTF-8"),
        ("a.json", "{", "not JSON"),
        ("a.json", "3", "a JSON list of names"),
        ("a.json", '{"n1": 1.5}', "1.5 is no name"),
        ("a.json", '{"n1": "a+++b"}', "no class name"),
        ("gone.txt", None, "is not a file"),
    ],
)
def test_a_file_of_names_that_does_not_do_is_refused(
    tmp_path: Path, file: str, content: str | bytes | None, text: str
) -> None:
    root = fill(tmp_path / "root", {"n1": 1, "n2": 1, "n3": 1})
    path = tmp_path / file
    if content is not None:
        put(path, content)
    with pytest.raises(FomoError) as caught:
        import_folder(root, classes=path)
    assert text.replace("PATH", str(path)) in str(caught.value)


def test_names_with_numbers_of_their_own_are_a_list(tmp_path: Path) -> None:
    names = put(tmp_path / "a.txt", "737-200\nF-16A/B\nAirbus A380\n")
    assert read_names(names).listed == ["737-200", "F-16A/B", "Airbus A380"]
    for lines in ("level 1\nlevel 2\n", "Boeing 737\nAirbus 310\n", "tench, Tinca\ngoldfish, Carassius\n"):
        assert read_names(put(tmp_path / "b.txt", lines)).listed == lines.splitlines()
    assert read_names(put(names, '{"cat": 0, "dog": 1}').rename(tmp_path / "a.json")).numbered() == ["cat", "dog"]


def test_the_command_says_which_names_are_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fill(tmp_path / "root", {"Apple": 2, "apple": 2})
    error = error_of(capsys, "data", "import", "folder", str(root), "--name", "mine", "--out", str(tmp_path / "out"))
    assert "'Apple' and 'apple'" in error
