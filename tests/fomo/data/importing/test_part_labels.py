"""A part of the split in one folder, whose classes a file names: Tiny-ImageNet's layout and its like."""

from pathlib import Path

import pytest

from fomo.errors import FomoError
from tests.fomo.data.importing.trees import fill, import_folder, options, samples, sizes
from tests.fomo.helpers import put

CLASSES = ("n01", "n02", "n01", "n02")
BOX = "\t0\t32\t44\t62"


def tiny_imagenet(root: Path, *, top: str = "", same_names: bool = True) -> Path:
    """Two classes of three training images, four validation images with labels, two test images without."""
    fill(root / top, {"train/n01/images": 3, "train/n02/images": 3, "val/images": 4, "test/images": 2})
    for kind in ("n01", "n02"):
        put(root / top / "train" / kind / f"{kind}_boxes.txt", "".join(f"00{n}.png{BOX}\n" for n in range(3)))
    lines = [f"00{number}.png\t{name}{BOX}" for number, name in enumerate(CLASSES)]
    put(root / top / "val" / "val_annotations.txt", "\n".join(lines))
    put(root / top / "wnids.txt", "n01\nn02\n")
    put(root / top / "words.txt", "n00\tentity\nn01\tcat, felis\nn02\tdog\n")
    return root


@pytest.mark.parametrize("top", ["", "tiny-imagenet-200"])
def test_tiny_imagenets_validation_images_have_their_classes(tmp_path: Path, top: str) -> None:
    root = tiny_imagenet(tmp_path / "root", top=top)
    card = import_folder(root, classes=root / top / "words.txt")
    assert card.classes == ("cat", "dog") and sizes(card) == (6, 4, 0)
    assert [name for name, _, _ in samples(root)["validation"]] == ["cat", "dog", "cat", "dog"]
    assert card.counts == {"in a part of the split, without a class": 2}
    assert "classes of a part by val_annotations.txt" in card.source


def test_without_a_file_of_names_classes_are_called_like_their_folders(tmp_path: Path) -> None:
    assert import_folder(tiny_imagenet(tmp_path / "root")).classes == ("n01", "n02")


def test_a_new_split_takes_what_the_file_labels(tmp_path: Path) -> None:
    card = import_folder(tiny_imagenet(tmp_path / "root"), splits="stratified")
    assert card.classes == ("n01", "n02") and sum(sizes(card)) == 10


FORMS = {
    "test/labels.csv": "file,label\n000.png,red\n001.png,blue\n",
    "test_labels.csv": "label;image\nred;test/000.png\nblue;test/001.png\n",
    "test.txt": "test/000.png red\ntest/001.png blue\n",
    "test/gt.tsv": "000.png\tred\n001.png\tblue\n",
    "test/labels.jsonl": '{"file_name": "000.png", "class": "red"}\n{"file_name": "001.png", "class": "blue"}\n',
}


@pytest.mark.parametrize("name", FORMS)
def test_labels_of_a_part_may_stand_in_any_table(tmp_path: Path, name: str) -> None:
    root = fill(tmp_path / "root", {"train/red": 2, "train/blue": 2, "test": 3})
    put(root / name, FORMS[name])
    card = import_folder(root)
    assert sizes(card) == (4, 0, 2) and [kind for kind, _, _ in samples(root)["test"]] == ["red", "blue"]
    assert card.counts == {"in a part of the split, without a class": 1}


@pytest.mark.parametrize("name", ["sample_submission.csv", "train_labels.csv", "labels.csv"])
def test_files_of_other_parts_label_nothing(tmp_path: Path, name: str) -> None:
    root = fill(tmp_path / "root", {"train/red": 2, "train/blue": 2, "test": 3})
    put(root / name, "file,label\n002.png,red\ntest/001.png,red\n")
    assert sizes(import_folder(root)) == (4, 0, 0)


def test_files_that_disagree_are_refused(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", {"train/red": 2, "train/blue": 2, "test": 3})
    put(root / "test" / "a.csv", "file,label\n002.png,red\n")
    put(root / "test" / "b.csv", "file,label\n002.png,blue\n")
    with pytest.raises(FomoError, match="different classes"):
        import_folder(root)


def test_a_change_of_the_labels_is_another_import(tmp_path: Path) -> None:
    from fomo.data.importing.folder import folder_source

    root = tiny_imagenet(tmp_path / "root")
    before = folder_source(root, "mine", options=options()).fingerprint
    put(root / "val" / "val_annotations.txt", f"000.png\tn02{BOX}\n")
    assert folder_source(root, "mine", options=options()).fingerprint != before
