"""Downloads go on wherever they were cut short, and say what to do without a network."""

from pathlib import Path

import pytest

from fomo.errors import FomoError
from streams.prepare import RECIPES
from tests.fomo.helpers import put
from tests.streams.prepare.made import Fabricate, Quiet, make, unreachable


@pytest.mark.parametrize("name", RECIPES)
def test_without_a_network_the_error_names_every_file_and_its_place(name: str, root: Path, out: Path) -> None:
    recipe = unreachable(RECIPES[name])
    with pytest.raises(FomoError, match="cannot download") as caught:
        make(name, recipe, root, out)
    for archive in recipe.archives:
        assert f"{archive.path(root)} (" in str(caught.value) and (archive.md5 or "no published") in str(caught.value)
    assert not out.exists() and [path.name for path in root.rglob("*") if path.is_file()] == [".lock"]


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
