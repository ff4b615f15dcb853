"""Public datasets in their original layouts become shards, whatever was there before and wherever it was cut short."""

import inspect
import json
import os
import pickle
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from torchvision import datasets as tv

from fomo.data.card import SPLITS, DatasetCard, is_class_name
from fomo.data.importing.job import bring_in
from fomo.data.shards import open_dataset
from fomo.errors import FomoError
from streams import catalogue
from streams.prepare import RECIPES, Recipe, prepared
from streams.prepare.datasets import num_test
from streams.prepare.readers import fixed, spaced, spaced_caltech256, translated
from tests.fomo.helpers import encoded, error_of, picture, put, status
from tests.streams.prepare.originals import ORIGINALS, Samples, at, pack, place, red, reference_info

Online = Callable[[Recipe], Recipe]
Fabricate = Callable[[str], tuple[Recipe, Samples]]
OWN_SPLIT = [name for name, recipe in RECIPES.items() if recipe.splits]
NO_SPLIT = [name for name, recipe in RECIPES.items() if not recipe.splits]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word, and files from the middle on; ``starts`` are the places asked for."""

    starts: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        """A whole file, or what lies behind the place that is asked for."""
        path, asked = Path(self.translate_path(self.path)), self.headers.get("Range")
        if asked is None or not path.is_file():
            super().do_GET()
            return
        content, start = path.read_bytes(), int(asked.removeprefix("bytes=").removesuffix("-"))
        self.starts.append(start)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def online(site: Path) -> Iterator[Online]:
    """Puts the files at ``site`` on the web, and gives a recipe their addresses."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"

        def addressed(recipe: Recipe) -> Recipe:
            archives = (replace(archive, urls=(f"{base}/{archive.file}",)) for archive in recipe.archives)
            return replace(recipe, archives=tuple(archives))

        yield addressed
        server.shutdown()


@pytest.fixture
def fabricate(online: Online, site: Path) -> Fabricate:
    """Makes the small copy of a dataset and puts it on the web."""

    def fabricated(name: str) -> tuple[Recipe, Samples]:
        recipe, samples = ORIGINALS[name](site)
        return online(recipe), samples

    return fabricated


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def make(name: str, recipe: Recipe, root: Path, out: Path) -> DatasetCard:
    return bring_in(prepared(recipe, catalogue.load()[name], root), out)


def unreachable(recipe: Recipe) -> Recipe:
    """The recipe on a machine without a network."""
    gone = (replace(archive, urls=(f"http://127.0.0.1:9/{archive.file}",)) for archive in recipe.archives)
    return replace(recipe, archives=tuple(gone))


def written(folder: Path) -> Samples:
    """Class and pixels of the samples of each split."""
    dataset = open_dataset(folder)
    found: Samples = {}
    for split in SPLITS:
        if dataset.card.num_samples[split]:
            samples = dataset.split(split)
            classes = [dataset.card.classes[target] for target in samples.targets]
            found[split] = [(name, samples.image(index).tobytes()) for index, name in enumerate(classes)]
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_recipe_is_tested_and_every_downloader_has_one() -> None:
    downloadable = {name for name, declared in catalogue.load().items() if declared.torchvision}
    assert set(RECIPES) == set(ORIGINALS) == downloadable
    for name, recipe in RECIPES.items():
        assert recipe.reader is getattr(tv, catalogue.load()[name].torchvision or "")


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


@pytest.mark.parametrize("name", RECIPES)
def test_files_put_in_place_by_hand_serve_offline(
    name: str, fabricate: Fabricate, site: Path, root: Path, out: Path
) -> None:
    recipe, samples = fabricate(name)
    place(recipe, site, root)
    card = make(name, unreachable(recipe), root, out)
    assert sum(card.num_samples.values()) == sum(map(len, samples.values()))


@pytest.mark.parametrize("name", RECIPES)
def test_without_a_network_the_error_names_every_file_and_its_place(name: str, root: Path, out: Path) -> None:
    recipe = unreachable(RECIPES[name])
    with pytest.raises(FomoError, match="cannot download") as caught:
        make(name, recipe, root, out)
    for archive in recipe.archives:
        assert f"{archive.path(root)} (" in str(caught.value) and (archive.md5 or "no published") in str(caught.value)
    assert not out.exists() and [path.name for path in root.rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.parametrize("name", ["EuroSAT", "CALTECH101", "CALTECH256", "GTSRB"])
def test_checksums_that_were_copied_are_those_of_torchvision(name: str) -> None:
    module = inspect.getsource(inspect.getmodule(RECIPES[name].reader))  # type: ignore[arg-type]
    for archive in RECIPES[name].archives:
        if archive.file not in module:
            pytest.skip(f"this version of torchvision does not fetch {archive.file}")
        assert str(archive.md5) in module


def test_only_the_aircraft_have_no_published_checksum() -> None:
    assert [name for name, recipe in RECIPES.items() if None in {a.md5 for a in recipe.archives}] == ["FGVCAircraft"]


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


def test_equal_pictures_never_stand_on_two_sides(online: Online, site: Path, root: Path, out: Path) -> None:
    members = {f"2750/{folder}/{number}.jpg": red() for folder in ("Forest", "River") for number in range(6)}
    members |= {f"2750/Forest/x{number}.jpg": encoded(picture(number), "JPEG") for number in range(4)}
    pack(site / "EuroSAT.zip", members)
    card = make("EuroSAT", online(at(RECIPES["EuroSAT"], site)), root, out)
    pixels = [pair[1] for pairs in written(out / "eurosat_seeded").values() for pair in pairs]
    assert len(pixels) == len(set(pixels)) == 5 and card.counts["exact duplicate"] == 11
    assert card.counts["class without any image"] == 1, "the first of two equal pictures stays: a forest"


def test_own_splits_keep_equal_pictures(fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    make("DTD", recipe, root, out / "warm up")
    for path in (root / "dtd" / "dtd" / "images").rglob("*.jpg"):
        path.write_bytes(red())
    assert make("DTD", recipe, root, out).num_samples == {"train": 4, "validation": 4, "test": 4}


def test_broken_pictures_are_left_out_and_counted(fabricate: Fabricate, root: Path, out: Path) -> None:
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


def test_a_damaged_file_is_refused_and_left_alone(fabricate: Fabricate, site: Path, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    place(recipe, site, root)
    path = recipe.archives[0].path(root)
    path.write_bytes(path.read_bytes()[:-10])
    before = path.read_bytes()
    with pytest.raises(FomoError, match=r"dtd-r1\.0\.1\.tar\.gz' has md5 .*expected .*remove it"):
        make("DTD", recipe, root, out)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["DTD", "FGVCAircraft"])
@pytest.mark.parametrize("left", ["some", "all", "rubbish"])
def test_a_download_cut_short_goes_on(
    name: str, left: str, fabricate: Fabricate, site: Path, root: Path, out: Path
) -> None:
    recipe, _ = fabricate(name)
    (archive,) = recipe.archives
    whole, part = (site / archive.file).read_bytes(), archive.path(root).with_name(f"{archive.file}.part")
    put(part, {"some": whole[:100], "all": whole, "rubbish": b"x" * 100}[left])
    gone = recipe if left == "rubbish" else unreachable(recipe)
    if gone is not recipe:
        with pytest.raises(FomoError, match="cannot download"):
            make(name, gone, root, out)
    Quiet.starts.clear()
    assert sum(make(name, recipe, root, out).num_samples.values()) > 0
    assert Quiet.starts == [len(whole) if left == "all" else 100]
    assert archive.path(root).read_bytes() == whole and not part.exists()


@pytest.mark.parametrize("name", ["DTD", "FGVCAircraft"])
def test_what_is_no_beginning_of_the_file_is_fetched_anew(
    name: str, fabricate: Fabricate, site: Path, root: Path, out: Path
) -> None:
    recipe, _ = fabricate(name)
    (archive,) = recipe.archives
    whole = (site / archive.file).read_bytes()
    put(archive.path(root).with_name(archive.file + ".part"), whole[:100])
    put(site / archive.file, whole[: len(whole) // 2])
    with pytest.raises(FomoError, match="cannot download"):
        make(name, recipe, root, out)
    assert not list(root.rglob(f"{archive.file}*"))
    put(site / archive.file, whole)
    assert sum(make(name, recipe, root, out).num_samples.values()) > 0


@pytest.mark.parametrize("name", ["DTD", "iNATURALIST2021", "MNIST", "CALTECH101"])
def test_unpacking_cut_short_starts_again(name: str, fabricate: Fabricate, site: Path, root: Path, out: Path) -> None:
    recipe, samples = fabricate(name)
    make(name, recipe, root, out / "before")
    archive = recipe.archives[0]
    place(recipe, site, root)
    archive.marker(root).touch()
    content = root / archive.gives
    if content.is_dir():
        for path in list(content.rglob("*.jpg"))[1:]:
            path.unlink()
    else:
        content.write_bytes(b"")
    card = make(name, recipe, root, out)
    assert sum(card.num_samples.values()) == sum(map(len, samples.values())) and not archive.marker(root).exists()


def test_a_tree_that_was_unpacked_by_hand_is_used_without_its_archive(site: Path, root: Path, out: Path) -> None:
    for number in range(10):
        put(root / "eurosat" / "2750" / "Forest" / f"{number}.jpg", encoded(picture(number), "JPEG"))
    assert make("EuroSAT", unreachable(RECIPES["EuroSAT"]), root, out).num_samples["test"] == 3


def test_an_archive_that_holds_something_else_is_refused(online: Online, site: Path, root: Path, out: Path) -> None:
    pack(site / "EuroSAT.zip", {"other/file": b"x"})
    with pytest.raises(FomoError, match=r"holds no 'eurosat/2750'"):
        make("EuroSAT", online(at(RECIPES["EuroSAT"], site)), root, out)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/outside", tarfile.REGTYPE),
        ("dtd/link", tarfile.SYMTYPE),
        ("dtd/hard_link", tarfile.LNKTYPE),
        ("dtd/device", tarfile.CHRTYPE),
    ],
)
def test_a_tar_writes_nothing_outside_of_the_source_and_makes_no_links(
    name: str, kind: bytes, online: Online, site: Path, root: Path, out: Path
) -> None:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc/passwd"
    site.mkdir()
    with tarfile.open(site / "dtd-r1.0.1.tar.gz", "w:gz") as tar:
        tar.addfile(info)
    with pytest.raises(FomoError, match=r"cannot be unpacked \(member .*leads out of the folder"):
        make("DTD", online(at(RECIPES["DTD"], site)), root, out)
    assert {path.name for path in root.parent.rglob("*")} & {"outside", "link", "hard_link", "device"} == set()


def test_a_zip_writes_nothing_outside_of_the_source(online: Online, site: Path, root: Path, out: Path) -> None:
    pack(site / "EuroSAT.zip", {"../../outside": b"x", "2750/Forest/1.jpg": red()})
    make("EuroSAT", online(at(RECIPES["EuroSAT"], site)), root, out)
    assert [path for path in root.parent.rglob("outside") if not path.is_relative_to(root / "eurosat")] == []


def test_an_archive_that_is_none_is_refused(online: Online, site: Path, root: Path, out: Path) -> None:
    put(site / "EuroSAT.zip", b"words")
    with pytest.raises(FomoError, match="cannot be unpacked"):
        make("EuroSAT", online(at(RECIPES["EuroSAT"], site)), root, out)


class Bomb:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled_unchecked(fabricate: Fabricate, root: Path, out: Path, tmp_path: Path) -> None:
    recipe, _ = fabricate("CIFAR10")
    make("CIFAR10", recipe, root, out / "before")
    for path in (root / "cifar-10-batches-py").iterdir():
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(FomoError, match=r"does not hold what torchvision's CIFAR10 reads .*corrupted"):
        make("CIFAR10", recipe, root, out)
    assert not (tmp_path / "exploded").exists()


def test_a_source_that_is_a_file_is_refused(root: Path, out: Path) -> None:
    with pytest.raises(FomoError, match=r"--source .* is a file"):
        make("DTD", RECIPES["DTD"], put(root, "x"), out)


def test_splits_that_name_different_classes_are_refused(fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    make("DTD", recipe, root, out / "before")
    (root / "dtd" / "dtd" / "labels" / "test1.txt").write_text("banded/banded_test0.jpg\n")
    with pytest.raises(FomoError, match="name different classes"):
        make("DTD", recipe, root, out)


def test_the_size_of_pictures_can_be_bounded(fabricate: Fabricate, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    bring_in(prepared(recipe, catalogue.load()["DTD"], root, size=3), out)
    assert open_dataset(out / "dtd_standard").split("test").image(0).size == (4, 3)


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 1), (3, 1), (5, 2), (10, 3), (100, 30), (101, 30)])
def test_three_in_ten_are_tested_on_and_one_at_least(count: int, expected: int) -> None:
    assert num_test(count) == expected


def test_class_names_are_words_and_each_its_own() -> None:
    assert spaced("Apartment_building/outdoor") == "apartment building outdoor"
    assert [spaced_caltech256(raw) for raw in ("251.airplanes-101", "002.american-flag")] == [
        "airplanes",
        "american flag",
    ]
    signs = fixed("gtsrb")(None)
    flowers = fixed("flowers102")(None)
    assert len(set(flowers)) == 102 and flowers[59] == "pink-yellow dahlia" and flowers[101] == "blackberry lily"
    assert len(set(signs)) == 43 and signs[14] == "stop" and fixed("digits")(None) == list("0123456789")

    class Countries:
        classes = ("NO", "AD", "ZZ")

    assert translated("countries")(Countries) == ["Norway", "Andorra", "ZZ"]
    assert all(is_class_name(name) for name in [*signs, *fixed("clevr_counts")(None)])


@pytest.fixture
def textures(fabricate: Fabricate, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """The command finds the small copy of DTD where it would find the real one."""
    recipe, samples = fabricate("DTD")
    monkeypatch.setitem(RECIPES, "DTD", recipe)
    return samples


def test_the_command_prepares_and_says_why_the_name_is_another(
    textures: Samples, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("data", "prepare", "DTD", "--out", str(out), "--workers", "1")
    assert status(*command) == 0
    shown = capsys.readouterr()
    assert "'DTD' names FoMo-in-Flux's split" in shown.err and "becomes 'dtd_standard'" in shown.err
    assert "dtd_standard: 2 classes" in shown.out
    assert status("data", "verify", str(out / "dtd_standard"), "--workers", "1") == 0
    shutil.rmtree(out / ".sources")
    before = files_of(out / "dtd_standard")
    assert status(*command) == 0 and files_of(out / "dtd_standard") == before, "what is finished is only shown"


def test_with_the_references_json_the_dataset_has_its_name_role_and_split(
    textures: Samples, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = reference_info(tmp_path / "info")
    command = ("data", "prepare", "DTD", "--out", str(out), "--info", str(info), "--workers", "1")
    assert status(*command) == 0
    assert "names FoMo-in-Flux's split" not in capsys.readouterr().err
    dataset = open_dataset(out / "DTD")
    assert dataset.card.num_samples == {"train": 8, "validation": 0, "test": 4}
    assert (dataset.card.role, dataset.card.domain) == ("adaptation", "textural")
    assert list(dataset.split("train").captions(0)) == ["a banded thing"]
    assert sorted(written(out / "DTD")["test"]) == sorted(textures["test"])


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["DDT"], ["unknown dataset 'DDT'", "Did you mean 'DTD'?", "data import folder"]),
        (["CUB200"], ["no downloader for 'CUB200'", "https://www.vision.caltech.edu", "import fomo-in-flux"]),
        (["CARS196"], ["no downloader for 'CARS196'", "its page is unknown"]),
        (["CIFAR10", "--info", "."], ["--info", "arrays", "import fomo-in-flux PATH --name CIFAR10"]),
        (["DTD", "--info", "nowhere"], ["nowhere"]),
        (["DTD", "--info", ".", "--source", "here"], ["--source", "must be 'DTD'"]),
        (["DTD", "--size", "0"], ["--size 0", "1 and above"]),
        (["DTD", "--workers", "0"], ["--workers 0", "1 and above"]),
    ],
)
def test_the_command_refuses_before_any_work(
    arguments: list[str], texts: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(capsys, "data", "prepare", *arguments, "--out", str(out))
    assert all(text in error for text in texts), error
    assert not out.exists()


def test_the_command_refuses_a_place_that_is_taken(
    textures: Samples, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = put(out / "dtd_standard" / "thesis.tex", "x")
    error = error_of(capsys, "data", "prepare", "DTD", "--out", str(out))
    assert f"'{out / 'dtd_standard'}' is no finished dataset" in error and "--out" in error
    assert list((out / "dtd_standard").iterdir()) == [kept]
