"""A grid shows as many classes as it can, and the texts that belong to the pictures."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomo.data.inspect.preview import COLUMNS, TILE, _font, chosen, preview, wrapped
from fomo.data.shards import open_dataset
from streams import open_named
from tests.fomo.data.test_shards import write
from tests.fomo.helpers import error_of, status


def test_no_class_comes_again_before_all_have_come() -> None:
    targets = np.repeat([3, 1, 0, 2], [50, 5, 1, 20])
    for number, most in ((4, 1), (7, 2), (20, 9)):
        rows = chosen(targets, number, seed=0)
        counts = Counter(targets[rows].tolist())
        assert len(set(rows.tolist())) == number and set(counts) == {0, 1, 2, 3} and counts[0] == 1
        assert max(counts.values()) <= most and targets[rows].tolist() == sorted(targets[rows].tolist())
    assert len(chosen(targets, 1000, seed=0)) == 76
    assert (
        chosen(targets, 5, seed=0).tolist()
        == chosen(targets, 5, seed=0).tolist()
        != chosen(targets, 5, seed=1).tolist()
    )


def test_lines_fit_and_hold_the_text() -> None:
    font = _font(11)
    text = "a photograph of a very long street in the rain " * 3
    lines = wrapped(text, font, 3)
    assert len(lines) == 3 and lines[-1].endswith("…") and all(font.getlength(line) <= TILE for line in lines)
    assert text.startswith(" ".join(lines)[:-1])
    assert wrapped("two\nwords", font, 3) == ["two words"] and wrapped(" ", font, 3) == []
    assert "".join(wrapped("W" * 60, font, 9)) == "W" * 60


def test_the_grid_holds_the_pictures(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path / "mine"))
    page = preview(dataset, "train", 100)
    assert page.width > COLUMNS * TILE
    pixels = np.asarray(page).reshape(-1, 3)
    for row in range(5):
        assert (pixels == dataset.split("train").image(row).getpixel((3, 3))).all(axis=1).sum() > 100
    assert preview(dataset, "train", 100).tobytes() == page.tobytes()


def test_the_command_writes_a_picture_per_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "data" / "mine")
    out = tmp_path / "new" / "grid.png"
    root = ["--root", str(tmp_path / "data"), "--out", str(out)]
    assert status("data", "preview", "mine", *root) == 0 and Image.open(out).width > 1000
    assert status("data", "preview", "mine", "pocket_flags", "--number", "7", *root) == 0
    files = [str(out.with_stem(f"grid-{name}")) for name in ("mine", "pocket_flags")]
    assert capsys.readouterr().out.splitlines()[1:] == files
    assert "'flags'" in error_of(capsys, "data", "preview", "flags", *root)
    assert "allowed are .png" in error_of(capsys, "data", "preview", "mine", "--out", "grid.txt")
    assert "--number 0" in error_of(capsys, "data", "preview", "mine", "--number", "0", *root)
    assert "Allowed: train" in error_of(capsys, "data", "preview", "mine", "--split", "test", *root)


def test_every_pocket_dataset_can_be_shown() -> None:
    card = open_named("pocket_digits", Path("nowhere")).card
    assert preview(open_named("pocket_digits", Path("nowhere")), "test", 3).height > TILE and card.num_samples["test"]
