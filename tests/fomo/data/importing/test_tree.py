"""What lies in a tree beside its classes: left behind by tools, stray, linked."""

import os
from pathlib import Path

import pytest

from fomo.data.importing.class_folders import remark_on_outer
from fomo.data.importing.folder import folder_source
from fomo.data.importing.tree import find
from fomo.errors import FomoError
from tests.fomo.data.importing.trees import fill, import_folder, options, samples, sizes
from tests.fomo.helpers import picture, put, status

TOOL_FOLDERS = [
    ".ipynb_checkpoints",
    "@eaDir",
    ".Trash-1000",
    ".thumbnails",
    "__MACOSX",
    ".git",
    "#recycle",
    "lost+found",
    "$RECYCLE.BIN",
    "@Recycle",
    ".cache",
    ".AppleDouble",
    ".Spotlight-V100",
    ".fseventsd",
    ".snapshot",
    "#snapshot",
    "@Recently-Snapshot",
    "@__thumb",
    "@tmp",
    "__pycache__",
    ".svn",
    ".dvc",
    "$Recycle.Bin",
    ".TRASH-0",
    ".@__thumb",
    "FOUND.000",
    ".DS_Store.d",
    ".directory",
    "mine.lrdata",
    "System Volume Information",
    "Network Trash Folder",
    "Temporary Items",
    "RECYCLER",
    "_thumbs",
    "Thumbnails",
    "wandb",
]


@pytest.mark.parametrize("folder", TOOL_FOLDERS)
@pytest.mark.parametrize("place", ["", "red/"])
def test_folders_of_tools_are_no_classes(tmp_path: Path, folder: str, place: str) -> None:
    root = fill(tmp_path / "root", {"red": 3, "green": 3, f"{place}{folder}": 2, f"{place}{folder}/deeper": 1})
    put(root / folder / "config", "x")
    card = import_folder(root)
    assert card.classes == ("green", "red") and sum(sizes(card)) == 6 and card.counts == {"left by a tool": 3}


@pytest.mark.parametrize("name", ["._000.png", ".hidden.png", "~$000.png", ".trashed-1700000000-a.jpg", ".nfs001.png"])
def test_files_of_tools_are_no_images(tmp_path: Path, name: str) -> None:
    root = fill(tmp_path / "root", {"red": 3})
    put(root / "red" / name, picture(99))
    card = import_folder(root)
    assert sum(sizes(card)) == 3 and card.counts == {"left by a tool": 1}


def test_other_files_of_tools_are_no_pictures_by_name(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"red": 3})
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        put(root / "red" / name, "x")
    assert import_folder(root).counts == {"not an image by name": 3}


@pytest.mark.parametrize(
    "folder", ["#1", "@home", "$100", "CVS", "recycled", "temp", "__init", "cache", "git", "trash"]
)
def test_odd_names_are_classes_all_the_same(tmp_path: Path, folder: str) -> None:
    card = import_folder(fill(tmp_path / "root", {"red": 3, folder: 3}))
    assert len(card.classes) == 2 and card.counts == {}


def test_images_in_the_root_beside_class_folders_are_left_out_and_counted(tmp_path: Path) -> None:
    card = import_folder(fill(tmp_path / "root", {"red": 3, "green": 3, "": 2}))
    assert card.classes == ("green", "red") and card.counts == {"outside of the class folders": 2}


def test_six_classes_that_are_two(tmp_path: Path) -> None:
    spec = {"red": 4, "green": 4, ".ipynb_checkpoints": 1, "@eaDir": 1, ".Trash-1000/files": 1, ".thumbnails": 1, "": 1}
    card = import_folder(fill(tmp_path / "root", spec))
    assert card.classes == ("green", "red") and sum(sizes(card)) == 8
    assert card.counts == {"left by a tool": 4, "outside of the class folders": 1}


def test_links_are_followed_into_the_folder_that_the_user_names_and_no_other(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", {"red": 3, "green": 2})
    other = fill(tmp_path / "other", {"blue": 2}, start=100)
    root = tmp_path / "root"
    put(root / "green" / "own.png", picture(200))
    (root / "red").symlink_to(store / "red")
    (root / "green" / "linked.png").symlink_to(store / "green" / "000.png")
    (root / "blue").symlink_to(other / "blue")
    (root / "green" / "loop").symlink_to(root)
    assert import_folder(root).counts == {"link to a folder": 3, "link out of the folder": 1}
    (root.parent / "out").rename(tmp_path / "first")
    card = import_folder(root, links=store)
    assert card.classes == ("green", "red") and sum(sizes(card)) == 5 and card.counts == {"link to a folder": 2}


def test_a_loop_through_the_named_folder_ends(tmp_path: Path) -> None:
    store = fill(tmp_path / "store", {"red": 2})
    (store / "red" / "again").symlink_to(store)
    root = tmp_path / "root"
    root.mkdir()
    (root / "all").symlink_to(store)
    tree = find(root, links=store)
    assert sum(map(len, tree.images.values())) == 2


def test_a_place_for_links_has_to_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"--links .* is not a folder"):
        import_folder(fill(tmp_path / "root", {"red": 1}), links=tmp_path / "nowhere")


def test_depth_says_how_many_folders_name_a_class(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"cat/2020/a": 2, "cat/2021": 2, "dog/2020": 2, "dog": 1})
    assert import_folder(root).classes == ("cat 2020 a", "cat 2021", "dog", "dog 2020")
    (root.parent / "out").rename(tmp_path / "first")
    card = import_folder(root, depth=1)
    assert card.classes == ("cat", "dog") and sum(sizes(card)) == 7
    with pytest.raises(FomoError, match=r"--depth 0: allowed are 1"):
        import_folder(root, depth=0)


def test_depth_counts_below_the_split(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"train/cat/1": 2, "train/cat/2": 2, "train/dog/1": 1, "test/cat/7": 2})
    card = import_folder(root, depth=1)
    assert card.classes == ("cat", "dog") and sizes(card) == (5, 0, 2)


def test_the_command_takes_depth_and_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = fill(tmp_path / "store", {"cat/1": 2, "cat/2": 2})
    root = fill(tmp_path / "root", {"dog": 2}, start=50)
    (root / "cat").symlink_to(store / "cat")
    arguments = ["data", "import", "folder", str(root), "--name", "mine", "--out", str(tmp_path / "out")]
    assert status(*arguments, "--workers=1", "--depth=1", f"--links={store}") == 0
    assert "mine: 2 classes" in capsys.readouterr().out
    assert {name for part in samples(root).values() for name, _, _ in part} == {"cat", "dog"}


def test_a_folder_that_only_says_that_it_holds_images_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert import_folder(fill(tmp_path / "1" / "root", {"images/cat": 2, "images/dog": 2})).classes == ("cat", "dog")
    assert import_folder(fill(tmp_path / "2" / "root", {"images": 2, "dog": 2})).classes == ("dog", "images")
    spec = {"images/cat": 2, "images": 2, "images/dog": 2}
    card = import_folder(fill(tmp_path / "3" / "root", spec))
    assert card.classes == ("cat", "dog") and card.counts == {"outside of the class folders": 2}


@pytest.mark.parametrize(
    ("folders", "classes", "outer"),
    [
        (("101_ObjectCategories/cat", "101_ObjectCategories/dog"), ("cat", "dog"), "101_ObjectCategories"),
        (("Art/Clock", "Art/Alarm_Clock"), ("Alarm Clock", "Clock"), "Art"),
        (("a/b/cat", "a/b/dog"), ("cat", "dog"), "a/b"),
        (("a/cat", "a/cat/tabby", "a/dog"), ("cat", "cat tabby", "dog"), "a"),
        (("a/cat", "a/cat/tabby"), ("cat", "cat tabby"), "a"),
        (("train/a/cat", "train/a/dog", "test/a/cat"), ("cat", "dog"), "a"),
        (("images/a/cat", "images/a/dog"), ("cat", "dog"), "a"),
        (("a/cat", "b/dog"), ("a cat", "b dog"), ""),
        (("a/cat", "dog"), ("a cat", "dog"), ""),
        (("cat", "cat/tabby"), ("cat", "cat tabby"), ""),
        (("cat/tabby",), ("cat tabby",), ""),
    ],
)
def test_a_folder_around_all_classes_is_no_part_of_their_names(
    tmp_path: Path, folders: tuple[str, ...], classes: tuple[str, ...], outer: str
) -> None:
    root = fill(tmp_path / "root", dict.fromkeys(folders, 2))
    said = [remark for remark in folder_source(root, "mine").remarks if "lies around all classes" in remark]
    assert said == [remark_on_outer(tuple(outer.split("/")))] * bool(outer)
    assert import_folder(root).classes == classes


def test_depth_and_a_file_of_names_keep_a_folder_around_all_classes(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"Art/Clock": 2, "Art/Bike": 2})
    assert import_folder(root, depth=2).classes == ("Art Bike", "Art Clock")
    (tmp_path / "out").rename(tmp_path / "first")
    names = put(tmp_path / "names.json", '{"Art/Clock": "a painted clock", "Bike": "a bike"}')
    assert import_folder(root, classes=names).classes == ("a bike", "a painted clock")


def test_tables_without_classes_leave_out_such_a_folder_too(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"Art/Clock": 2, "Art/Bike": 2})
    put(root / "metadata.csv", "file_name,text\nArt/Clock/000.png,a clock\n")
    put(root / "Art" / "Bike" / "metadata.csv", "file_name,text\n001.png,a bike\n")
    assert import_folder(root).classes == ("Bike", "Clock")


@pytest.mark.parametrize(
    ("folders", "is_said"),
    [
        (("Art/Clock", "Art/Bike", "Clipart/Clock", "Clipart/Bike"), True),
        (("cat/2020", "cat/2021", "dog/2020", "dog/2021", "dog/2022"), True),
        (("bird/owl", "bird/finch", "dog/pug", "dog/boxer"), False),
    ],
)
def test_folders_of_the_same_names_under_several_are_said(
    tmp_path: Path, folders: tuple[str, ...], is_said: bool
) -> None:
    root = fill(tmp_path / "root", dict.fromkeys(folders, 1))
    assert any("folders of the same names" in each for each in folder_source(root, "mine").remarks) is is_said
    assert folder_source(root, "mine", options=options(depth=1)).remarks == []


def test_depth_counts_below_such_a_folder(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"images/cat/1": 2, "images/cat/2": 2, "images/dog": 2})
    assert import_folder(root, depth=1).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "train.txt", "split.json", "000.txt", "test.csv"])
def test_texts_that_lead_out_or_never_end_are_not_read(tmp_path: Path, name: str) -> None:
    secret = put(tmp_path / "secret", "file_name,text\n000.png,secret\n001.png,secret\n")
    for kind in ("link", "pipe"):
        root = fill(tmp_path / kind / "root", {"red": 3, "green": 3})
        if kind == "link":
            (root / "red" / name).symlink_to(secret)
        else:
            os.mkfifo(root / "red" / name)
        card = import_folder(root)
        assert sum(sizes(card)) == 6 and card.classes == ("green", "red")
        assert "secret" not in str([texts for part in samples(root).values() for _, _, texts in part])
