"""Original files are checked and unpacked, and nothing in them does harm."""

import os
import pickle
import tarfile
from pathlib import Path

import pytest

from fomo.errors import FomoError
from streams.prepare import RECIPES
from tests.fomo.helpers import encoded, picture, put
from tests.streams.prepare.made import Fabricate, Online, make, unreachable
from tests.streams.prepare.originals import at, pack, place, red


@pytest.mark.parametrize("name", RECIPES)
def test_files_put_in_place_by_hand_serve_offline(
    name: str, fabricate: Fabricate, site: Path, root: Path, out: Path
) -> None:
    recipe, samples = fabricate(name)
    place(recipe, site, root)
    card = make(name, unreachable(recipe), root, out)
    assert sum(card.num_samples.values()) == sum(map(len, samples.values()))


def test_a_damaged_file_is_refused_and_left_alone(fabricate: Fabricate, site: Path, root: Path, out: Path) -> None:
    recipe, _ = fabricate("DTD")
    place(recipe, site, root)
    path = recipe.archives[0].path(root)
    path.write_bytes(path.read_bytes()[:-10])
    before = path.read_bytes()
    with pytest.raises(FomoError, match=r"dtd-r1\.0\.1\.tar\.gz' has md5 .*expected .*remove it"):
        make("DTD", recipe, root, out)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["DTD", "iNATURALIST2021", "MNIST", "CALTECH101"])
def test_unpacking_cut_short_starts_again(name: str, fabricate: Fabricate, site: Path, root: Path, out: Path) -> None:
    recipe, samples = fabricate(name)
    make(name, recipe, root, out / "before")
    archive = recipe.archives[0]
    place(recipe, site, root)
    archive.marker(root).touch()
    content = root / archive.content
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
