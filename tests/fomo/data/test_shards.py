"""Shards: what goes in comes out, for us and for any other reader."""

import io
import json
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from fomo.data.card import DatasetCard
from fomo.data.importing import split_writer
from fomo.data.importing.split_writer import SplitWriter
from fomo.data.shard_index import COLUMNS, shortened
from fomo.data.shards import ShardSamples, ShardWriter, open_dataset, present, shard_path, write_card
from fomo.data.stored_images import pixel_digest
from fomo.errors import FomoError
from tests.fomo.helpers import encoded, picture, put

CLASSES = ["big cat", "dog 🐕", "emu"]
CAPTIONS = [["one"], [], ["two", "zwei — ü"], ["🐕"], ["a"]]
TARGETS = [2, 0, 1, 1, 2]


def about(number: int) -> dict[str, object]:
    return {"class": CLASSES[TARGETS[number]], "captions": CAPTIONS[number], "pixels": digest(number)}


def digest(number: int) -> str:
    return pixel_digest(picture(number))


def write(folder: Path) -> Path:
    """A dataset of five training samples in all three formats."""
    folder.mkdir(parents=True)
    writer = SplitWriter(folder, "train")
    kinds = [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG"), ("png", "PNG")]
    for number, (extension, kind) in enumerate(kinds):
        writer.add(extension, encoded(picture(number), kind), about(number))
    writer.close()
    assert writer.num_samples == 5
    writer.write_index(CLASSES)
    shutil.rmtree(folder / "records")
    write_card(folder, DatasetCard(folder.name, tuple(CLASSES), ("{}",), {"train": 5}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "mine")


def check_samples(folder: Path) -> None:
    samples = open_dataset(folder).split("train")
    assert len(samples) == 5 and samples.targets.tolist() == TARGETS and samples.targets.dtype == np.int64
    assert [samples.captions(number) for number in range(5)] == CAPTIONS
    assert isinstance(samples, ShardSamples)
    assert samples.digests.tolist() == [shortened(digest(number)) for number in range(5)]
    for number in (4, 0, 3):
        assert samples.image(number).tobytes() == picture(number).tobytes()
    assert [samples.image(number).size for number in range(5)] == [(8, 6)] * 5


def test_samples_come_back(folder: Path) -> None:
    check_samples(folder)


def test_every_kind_of_caption_comes_back_and_a_sample_may_have_no_class(tmp_path: Path) -> None:
    kinds = {"synthetic": ["a", "b"], "synthetic_merged": ["a and b"]}
    writer = SplitWriter(tmp_path, "train")
    first = {"class": None, "captions": ["a and b"], "caption_kinds": kinds, "pixels": digest(1)}
    writer.add("png", encoded(picture(1)), first)
    writer.add("png", encoded(picture(2)), {"class": "emu", "captions": ["plain"], "pixels": digest(2)})
    writer.close()
    writer.write_index(CLASSES)
    assert writer.caption_kinds == {"synthetic", "synthetic_merged", "default"} and writer.class_names == {"emu"}
    samples = ShardSamples(tmp_path, "train")
    assert samples.targets.tolist() == [-1, 2]
    assert samples.captions(0) == ["a and b"] == samples.captions(0, "synthetic_merged")
    assert samples.captions(0, "synthetic") == ["a", "b"] and samples.captions(0, "default") == []
    assert samples.captions(1) == ["plain"] == samples.captions(1, "default") and not samples.captions(1, "primer")


def test_samples_come_back_from_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_writer, "SHARD_BYTES", 300)
    made = write(tmp_path / "many")
    assert len(list(made.glob("train-*.tar"))) > 2
    assert shard_path(made, "train", 0).name == "train-000000.tar"
    check_samples(made)


def test_webdataset_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_writer, "SHARD_BYTES", 300)
    urls = [str(path) for path in sorted(write(tmp_path / "many").glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == sorted({sample["__key__"] for sample in samples})
    assert [json.loads(sample["json"]) for sample in samples] == [about(number) for number in range(5)]
    stored = Image.open(io.BytesIO(samples[0]["png"]))
    assert stored.tobytes() == picture(0).tobytes() and "webp" in samples[2]


def test_members_carry_no_time_and_no_user(folder: Path) -> None:
    with tarfile.open(shard_path(folder, "train", 0)) as tar:
        members = tar.getmembers()
    assert len(members) == 10
    for member in members:
        assert (member.mtime, member.uname, member.gname, member.uid, member.gid) == (0, "", "", 0, 0)
        assert member.isfile() and member.name.count(".") == 1


def test_two_writers_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a" / "mine"), write(tmp_path / "b" / "mine")
    names = sorted(path.name for path in one.iterdir())
    assert names == ["dataset.json", "index-train.npz", "train-000000.tar"]
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_samples_travel_to_workers_small_and_whole(folder: Path) -> None:
    samples = open_dataset(folder).split("train")
    samples.image(0)
    sent = pickle.dumps(samples)
    assert len(sent) < 2000
    assert pickle.loads(sent).image(3).tobytes() == picture(3).tobytes()


def test_an_image_and_its_captions_take_one_read_and_captions_alone_read_no_image(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, start: sizes.append(size) or pread(file, size, start))
    samples = ShardSamples(folder, "train")
    samples.image(2)
    assert samples.captions(2) == CAPTIONS[2] and len(sizes) == 1
    assert samples.captions(0) == CAPTIONS[0] and sizes[1:] == [samples.column("json_size")[0]]
    samples.image(3)
    assert samples.captions(2) == CAPTIONS[2] and samples.captions(3) == CAPTIONS[3]


def test_a_shard_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "train-000000.tar")
    writer.add("a", "png", encoded(picture(1)), about(1))
    assert [path.name for path in tmp_path.iterdir()] == [".train-000000.tar.partial"]
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["train-000000.tar"]


def test_the_index_needs_no_pickle(folder: Path) -> None:
    with np.load(folder / "index-train.npz", allow_pickle=False) as index:
        assert set(index.files) == set(COLUMNS) and all(index[name].dtype == np.int64 for name in index.files)


def test_a_split_without_samples_has_an_index_and_no_shard(tmp_path: Path) -> None:
    writer = SplitWriter(tmp_path, "test")
    writer.close()
    writer.write_index(CLASSES)
    assert writer.num_samples == 0
    assert not list(tmp_path.glob("*.tar")) and len(ShardSamples(tmp_path, "test")) == 0


def test_a_split_that_is_not_there_is_refused_with_those_that_are(folder: Path) -> None:
    with pytest.raises(FomoError, match=r"split of dataset 'mine' 'test'.*Allowed: train"):
        open_dataset(folder).split("test")


def test_a_damaged_picture_is_named(folder: Path) -> None:
    samples = open_dataset(folder).split("train")
    tar = shard_path(folder, "train", 0)
    tar.write_bytes(b"\xff" * tar.stat().st_size)
    with pytest.raises(
        FomoError, match=r"sample 3 of split 'train' of dataset 'mine' in .*000000.tar cannot be used \(broken\)"
    ):
        samples.image(3)


def test_only_complete_datasets_are_present(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "half" / "train-000000.tar", b"")
    put(tmp_path / ".half.partial-17" / "dataset.json", (folder / "dataset.json").read_bytes())
    assert present(tmp_path) == {"mine": folder}
    assert present(tmp_path / "nowhere") == {}
