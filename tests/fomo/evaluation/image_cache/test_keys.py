"""What makes decoded images others."""

import shutil
from dataclasses import replace
from pathlib import Path

from fomo.data.card import PLAIN, read_card
from fomo.data.shards import open_dataset, write_card
from fomo.data.validation import with_validation
from fomo.evaluation.image_key import image_key
from fomo.model.preprocess import Preprocess
from streams.pocket.datasets import open_pocket
from tests.fomo.evaluation.image_cache.images import LABELS, digest
from tests.streams.helpers import shards


def key_of(folder: Path, preprocess: Preprocess = Preprocess(32)) -> str | None:  # noqa: B008 (frozen)
    dataset = open_dataset(folder)
    return image_key(dataset, dataset.split("test"), preprocess)


def test_what_changes_pixels_changes_the_key_and_nothing_else_does(root: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(root / "mine", tmp_path / "mine", copy_function=shutil.copy2))
    key = key_of(mine)
    assert key == key_of(root / "mine") == key_of(mine, Preprocess(32, mean=(0, 0, 0), std=(1, 1, 1)))
    others = [
        key_of(mine, Preprocess(16)),
        key_of(mine, Preprocess(32, interpolation="bilinear")),
        key_of(mine, Preprocess(32, resize_mode="longest")),
        key_of(mine, Preprocess(32, resize_mode="longest", fill_color=7)),
        key_of(shards(tmp_path / "anew", "mine", {"test": [(LABELS[each % 3], each + 100) for each in range(50)]})),
    ]
    card = read_card(mine / "dataset.json")
    write_card(mine, replace(card, decoding=PLAIN))
    others.append(key_of(mine))
    write_card(mine, card)
    assert key_of(mine) == key
    shard = mine / "test-000000.tar"
    shard.write_bytes(shard.read_bytes())
    others.append(key_of(mine))
    assert None not in others and len({key, *others}) == 8


def test_images_that_are_changed_in_place_are_seen(root: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(root / "mine", tmp_path / "mine", copy_function=shutil.copy2))
    before = digest({"mine": open_dataset(mine)})
    data = (mine / "test-000000.tar").read_bytes()
    other = shards(tmp_path / "other", "mine", {"test": [(LABELS[each % 3], each + 100) for each in range(50)]})
    assert len(data) == (other / "test-000000.tar").stat().st_size
    shutil.copytree(other, mine, dirs_exist_ok=True)
    assert digest({"mine": open_dataset(mine)}) == digest({"mine": open_dataset(other)}) != before


def test_arrays_and_samples_of_others_are_not_kept_and_parts_of_shards_are(tmp_path: Path) -> None:
    flags = open_pocket("pocket_flags")
    assert image_key(flags, flags.split("test"), Preprocess(32)) is None
    made = shards(tmp_path, "mine", {"train": [(LABELS[each % 3], each) for each in range(60)]})
    dataset = with_validation(open_dataset(made))
    held_out, rest = (image_key(dataset, dataset.split(split), Preprocess(32)) for split in ("validation", "train"))
    assert None not in (held_out, rest) and held_out != rest
