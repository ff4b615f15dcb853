"""Public datasets in their original layouts become shards, with their own split or one made here."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from fomo.data.card import PLAIN
from fomo.data.importing.job import bring_in
from fomo.data.shards import open_dataset
from fomo.errors import FomoError
from streams import catalogue
from streams.prepare import RECIPES, prepared
from streams.prepare.datasets import num_test
from tests.fomo.helpers import encoded, picture, put, status
from tests.streams.prepare.made import Fabricate, Online, files_of, make, written
from tests.streams.prepare.originals import at, pack, red

OWN_SPLIT = [name for name, recipe in RECIPES.items() if recipe.splits]
NO_SPLIT = [name for name, recipe in RECIPES.items() if not recipe.splits]


@pytest.mark.parametrize("name", OWN_SPLIT)
def test_own_splits_come_through_whole(name: str, fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, samples = fabricate(name)
    card = make(name, recipe, root, out)
    found = written(out / recipe.name)
    assert {split: sorted(found[split]) for split in found} == {split: sorted(samples[split]) for split in samples}
    assert card.name == recipe.name != name and card.role == "unassigned" and card.licence
    assert all(str(archive.md5 or "not published") in card.source for archive in recipe.archives)
    assert "the dataset's own splits" in card.source and recipe.note in card.source


@pytest.mark.parametrize("name", NO_SPLIT)
def test_a_split_is_made_where_there_is_none(name: str, fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, samples = fabricate(name)
    card = make(name, recipe, root, out)
    found = written(out / recipe.name)
    assert set(found) == {"train", "test"}
    assert sorted(found["train"] + found["test"]) == sorted(samples["all"])
    sizes = Counter(label for label, _ in samples["all"])
    assert Counter(label for label, _ in found["test"]) == {label: num_test(count) for label, count in sizes.items()}
    assert "30% of each class for test, seed 0" in card.source and card.name.endswith("_seeded")


def test_equal_bytes_from_any_place_by_any_number_of_workers(
    fabricate: Fabricate, root: Path, out: Path, tmp_path: Path
) -> None:
    for name in ("EuroSAT", "MNIST"):
        recipe, _ = fabricate(name)
        make(name, recipe, root / name, out)
        shutil.copytree(root / name, tmp_path / "moved" / name)
        source = prepared(recipe, catalogue.load()[name], tmp_path / "moved" / name)
        bring_in(source, tmp_path / "again", num_workers=2)
        assert files_of(out / recipe.name) == files_of(tmp_path / "again" / recipe.name)


def test_an_interrupted_preparation_goes_on_and_ends_the_same(
    fabricate: Fabricate, root: Path, out: Path, tmp_path: Path
) -> None:
    for name in ("EuroSAT", "DTD"):
        recipe, _ = fabricate(name)
        source = prepared(recipe, catalogue.load()[name], root / name)
        left = [4]

        def tick(number: int, left: list[int] = left) -> None:
            left[0] -= number
            if left[0] < 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            bring_in(source, out, 1, tick)
        assert not (out / recipe.name).exists()
        make(name, recipe, root / name, out)
        make(name, recipe, root / name, tmp_path / "at once")
        assert files_of(out / recipe.name) == files_of(tmp_path / "at once" / recipe.name)


def test_equal_images_never_stand_on_two_sides(online: Online, site: Path, root: Path, out: Path) -> None:
    members = {f"2750/{folder}/{number}.jpg": red() for folder in ("Forest", "River") for number in range(6)}
    members |= {f"2750/Forest/x{number}.jpg": encoded(picture(number), "JPEG") for number in range(4)}
    pack(site / "EuroSAT.zip", members)
    card = make("EuroSAT", online(at(RECIPES["EuroSAT"], site)), root, out)
    pixels = [pair[1] for pairs in written(out / "eurosat_seeded").values() for pair in pairs]
    assert len(pixels) == len(set(pixels)) == 5 and card.counts["exact duplicate"] == 11
    assert card.counts["class without any image"] == 1, "the first of two equal images stays: a forest"


@pytest.mark.parametrize("name", ["EuroSAT", "OXFORDPETS"])
def test_images_are_read_as_the_reference_reads_them(name: str, fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, _ = fabricate(name)
    make(name, recipe, root, out / "warm up")
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, path in enumerate(sorted(root.rglob("*.jpg"))):
        path.write_bytes(encoded(picture(number, (24, 16)), "JPEG", exif=exif))
    assert make(name, recipe, root, out).decoding == PLAIN
    expected = {Image.open(path).convert("RGB").tobytes() for path in root.rglob("*.jpg")}
    found = {pixels for pairs in written(out / recipe.name).values() for _, pixels in pairs}
    assert found and found <= expected
    assert status("data", "verify", str(out / recipe.name), "--workers", "1") == 0


def test_own_splits_keep_equal_images(fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    make("DTD", recipe, root, out / "warm up")
    for path in (root / "dtd" / "dtd" / "images").rglob("*.jpg"):
        path.write_bytes(red())
    assert make("DTD", recipe, root, out).num_samples == {"train": 4, "validation": 4, "test": 4}


def test_broken_images_are_left_out_and_counted(fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    make("DTD", recipe, root, out / "warm up")
    images = sorted((root / "dtd" / "dtd" / "images" / "banded").iterdir())
    images[0].write_bytes(b"")
    images[1].write_bytes(images[1].read_bytes()[:100])
    images[2].unlink()
    card = make("DTD", recipe, root, out)
    assert sum(card.num_samples.values()) == 9
    assert card.counts == {"broken image": 1, "empty file": 1, "unreadable file": 1}


@pytest.mark.parametrize("name", ["Food101", "FGVCAircraft"])
def test_an_annotation_that_leads_out_of_the_source_reads_nothing(
    name: str, fabricate: Fabricate, root: Path, out: Path
) -> None:
    secret = put(root.parent / "secret.jpg", encoded(picture(7), "JPEG")).with_suffix("")
    listed = json.dumps({"apple_pie": ["../../../secret"], "waffles": ["waffles/train0"]})
    lists = {
        "Food101": ("food-101/meta/train.json", listed),
        "FGVCAircraft": ("fgvc-aircraft-2013b/data/images_variant_train.txt", f"{secret} 737-200\n0000002 F/A-18\n"),
    }
    recipe, samples = fabricate(name)
    make(name, recipe, root, out / "warm up")
    put(root / lists[name][0], lists[name][1])
    card = make(name, recipe, root, out)
    assert card.counts["link out of the folder"] == 1 and card.num_samples["train"] == 1
    assert set(written(out / recipe.name)["train"]) < set(samples["train"])


def test_a_source_that_is_a_file_is_refused(root: Path, out: Path) -> None:
    with pytest.raises(FomoError, match=r"--source .* is a file"):
        make("DTD", RECIPES["DTD"], put(root, "x"), out)


def test_splits_that_name_different_classes_are_refused(fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    make("DTD", recipe, root, out / "before")
    (root / "dtd" / "dtd" / "labels" / "test1.txt").write_text("banded/banded_test0.jpg\n")
    with pytest.raises(FomoError, match="name different classes"):
        make("DTD", recipe, root, out)


def test_the_size_of_images_can_be_bounded(fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    bring_in(prepared(recipe, catalogue.load()["DTD"], root, size=3), out)
    assert open_dataset(out / "dtd_standard").split("test").image(0).size == (4, 3)


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 1), (3, 1), (5, 2), (10, 3), (100, 30), (101, 30)])
def test_three_in_ten_are_tested_on_and_one_at_least(count: int, expected: int) -> None:
    assert num_test(count) == expected
