"""Datasets are found by name, wherever they come from."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomo.cli import main
from fomo.errors import FomoError
from streams import available
from streams.opening import open_all
from tests.streams.helpers import built, shards


def test_imported_datasets_stand_beside_the_pockets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(30):
        place = tmp_path / "tree" / f"kind {number % 3}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
    root = tmp_path / "data"
    main(["data", "import", "folder", str(tmp_path / "tree"), "--name", "mine", "--out", str(root), "--workers=1"])
    assert available(root)["mine"] == root / "mine"
    stream = built(tmp_path, adaptation=["mine", "pocket_solids+++cube"], num_tasks=1)
    assert {str(concept) for concept in stream.concepts} == {
        "mine+++kind 0",
        "mine+++kind 1",
        "mine+++kind 2",
        "pocket_solids+++cube",
    }
    (root / "mine").rename(root / "pocket_flags")
    with pytest.raises(FomoError, match="name of a pocket dataset"):
        available(root)


def test_a_copy_under_another_name_is_refused_and_a_link_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "data"
    stored = shards(tmp_path / "elsewhere", "new", {"train": [("owl", 1), ("emu", 2)], "test": [("owl", 3)]})
    shutil.copytree(stored, root / "copy")
    with pytest.raises(FomoError, match="holds the dataset 'new': name the folder so"):
        built(tmp_path, adaptation=["copy"])
    stored.rename(stored.with_name("stored"))
    (root / "new").symlink_to(stored.with_name("stored"))
    assert len(list(built(tmp_path, adaptation=["new"], num_tasks=2).concepts)) == 2


def test_a_folder_of_data_in_place_of_a_name_has_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"fomo data import"):
        open_all([str(tmp_path)], tmp_path / "data")
