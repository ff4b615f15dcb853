"""Shards made elsewhere: CLIP_benchmark's layout, LAION's, and what goes wrong in them."""

import json
import struct
import zlib
from pathlib import Path
from tarfile import TarInfo

import pytest

from fomo.data.card import DatasetCard
from fomo.data.importing.job import bring_in
from fomo.data.importing.webdataset import webdataset_source
from fomo.data.shards import ShardSamples
from fomo.errors import FomoError
from tests.fomo.helpers import encoded, error_of, picture, put, status
from tests.fomo.tars import member, tar

CLASSES = ["cat", "dog", 'the "big" emu 🐦']


def imported(root: Path, size: int | None = None) -> DatasetCard:
    return bring_in(webdataset_source(root, "mine", size), root.parent / "out")


def opened(root: Path, split: str = "train") -> ShardSamples:
    return ShardSamples(root.parent / "out" / "mine", split)


def webp(number: int) -> bytes:
    return encoded(picture(number), "WEBP", lossless=True)


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """CLIP_benchmark's layout: 24 training pictures in 12 tars, 2 test pictures in one."""
    root = tmp_path / "wds_pets"
    put(root / "classnames.txt", "\n".join(CLASSES) + "\n")
    put(root / "zeroshot_classification_templates.txt", "a photo of a {c}.\nthe {c}\n")
    for shard in range(12):
        numbers = [2 * shard, 2 * shard + 1]
        members = [(f"s{n:07d}.webp", webp(n)) for n in numbers] + [(f"s{n:07d}.cls", b"%d" % (n % 3)) for n in numbers]
        tar(root / "train" / f"{shard}.tar", members)
    put(root / "train" / "nshards.txt", "12\n")
    tar(
        root / "test" / "0.tar",
        [("k1.png", encoded(picture(91))), ("k1.cls", b"2\n"), ("k2.cls", b"0"), ("k2.png", webp(92))],
    )
    put(root / "test" / "nshards.txt", "1")
    return root


def test_clip_benchmarks_layout(benchmark: Path) -> None:
    card = imported(benchmark)
    assert card.classes == tuple(CLASSES) and card.templates == ("a photo of a {}.", "the {}")
    assert card.num_samples == {"train": 24, "validation": 0, "test": 2} and card.counts == {}
    assert card.kind == "classification" and card.role == "unassigned"
    train, test = opened(benchmark), opened(benchmark, "test")
    assert train.targets.tolist() == [number % 3 for number in range(24)]
    assert train.image(21).tobytes() == picture(21).tobytes() and train.captions(0) == []
    assert test.targets.tolist() == [2, 0] and test.image(1).tobytes() == picture(92).tobytes()


def test_classification_may_have_captions_beside_its_classes(tmp_path: Path) -> None:
    root = tmp_path / "wds"
    put(root / "classnames.txt", "cat\ndog")
    texts = {"a": b"my cat\n", "b": b" \n"}
    members = [
        (f"{k}.{e}", c) for k, t in texts.items() for e, c in (("webp", webp(ord(k))), ("cls", b"1"), ("txt", t))
    ]
    tar(root / "train" / "0.tar", members)
    card = imported(root)
    assert card.num_samples["train"] == 2 and card.templates == ("a picture of {}", "{}")
    assert [opened(root).captions(row) for row in (0, 1)] == [["my cat"], []]


def test_a_retrieval_set_has_a_caption_a_line(tmp_path: Path) -> None:
    root = tmp_path / "wds_flickr"
    put(root / "dataset_type.txt", "retrieval\n")
    tar(
        root / "test" / "0.tar",
        [("a.jpg", encoded(picture(1), "JPEG")), ("a.txt", "one cat\n\n two  cats ü\n".encode())],
    )
    card = imported(root)
    assert (card.kind, card.classes, card.num_samples["test"]) == ("retrieval", (), 1)
    assert opened(root, "test").captions(0) == ["one cat", "two cats ü"]


def laion(number: int, **extra: bytes) -> list[tuple[str, bytes]]:
    members = {"jpg": encoded(picture(number), "JPEG"), "txt": f"picture {number}\n".encode()} | extra
    return [(f"{number:09d}.{extension}", content) for extension, content in members.items()]


def test_pretraining_shards_become_a_pool_of_pairs(tmp_path: Path) -> None:
    root = tmp_path / "laion"
    for shard in (10, 2):
        about = json.dumps({"caption": "not this", "url": "x"}).encode()
        tar(root / f"{shard}.tar", [m for n in range(shard, shard + 3) for m in laion(n, json=about)])
    put(root / "2.parquet", b"not a tar")
    card = imported(root)
    assert (card.kind, card.role, card.classes, card.templates) == ("pairs", "pool", (), ())
    assert card.num_samples == {"train": 6, "validation": 0, "test": 0} and card.caption_kinds == ("default",)
    samples = opened(root)
    assert [samples.captions(i)[0] for i in range(6)] == [f"picture {n}" for n in (2, 3, 4, 10, 11, 12)]
    assert set(samples.targets) == {-1}


def test_the_caption_may_stand_in_the_json(tmp_path: Path) -> None:
    root = tmp_path / "laion"
    texts = [b'{"caption": "a cat"}', b"{", b"[]", b'{"caption": 3}', b'{"caption": " "}', b"[" * 100_000]
    members = [[(f"{n}.jpg", encoded(picture(n), "JPEG")), (f"{n}.json", text)] for n, text in enumerate(texts)]
    tar(root / "0.tar", [item for pair in members for item in pair])
    card = imported(root)
    assert card.counts == {"unreadable text": 4, "no caption": 1} and opened(root).captions(0) == ["a cat"]


def bomb() -> bytes:
    """A PNG that claims 60,000 × 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(bytes(1000)), b"IEND")
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_bad_samples_are_counted_and_the_good_ones_come_in(tmp_path: Path) -> None:
    root = tmp_path / "laion"
    text = b"some text"
    bad: list[tuple[str | TarInfo, bytes]] = [
        ("bomb.png", bomb()),
        ("bomb.txt", text),
        ("zero.jpg", b""),
        ("zero.txt", text),
        ("noise.jpg", b"no picture"),
        ("noise.txt", text),
        ("silent.jpg", encoded(picture(3), "JPEG")),
        ("alone.txt", text),
        ("two.jpg", encoded(picture(4), "JPEG")),
        ("two.png", encoded(picture(5))),
        ("two.txt", text),
        (".jpg", encoded(picture(6))),
        ("000000001.jpg", encoded(picture(7))),
        ("../up.jpg", encoded(picture(8))),
        ("/abs.jpg", encoded(picture(9))),
        (member("link.jpg", b"2", "/etc/passwd"), b""),
        (member("null.jpg", b"3"), b""),
    ]
    wrong_extension = [("gif.png", encoded(picture(20), "GIF")), ("gif.txt", text)]
    dots = [("photo.v1.jpg", encoded(picture(21))), ("photo.v1.txt", text), ("photo.v2.txt", text)]
    dots += [("photo.v2.jpg", encoded(picture(22)))]
    tar(root / "0.tar", [*laion(1), *bad, *wrong_extension, *dots])
    card = imported(root)
    assert card.counts == {
        "too many pixels": 1,
        "empty file": 1,
        "broken image": 1,
        "no caption": 1,
        "text without an image": 1,
        "several images of one key": 1,
        "missing key": 1,
        "duplicate key": 1,
        "path out of the root": 2,
        "link in a tar": 1,
        "neither file nor folder in a tar": 1,
    }
    samples = opened(root)
    assert [samples.image(i).tobytes() for i in (1, 2, 3)] == [picture(n).tobytes() for n in (20, 21, 22)]
    assert not (tmp_path / "up.jpg").exists() and sorted(p.name for p in tmp_path.iterdir()) == ["laion", "out"]


def test_a_tar_that_is_cut_off_gives_its_whole_samples(tmp_path: Path) -> None:
    root = tmp_path / "laion"
    path = tar(root / "0.tar", [m for n in range(4) for m in laion(n)])
    path.write_bytes(path.read_bytes()[: 5 * 1024 + 600])
    tar(root / "1.tar", laion(9))
    card = imported(root)
    assert opened(root).captions(card.num_samples["train"] - 1) == ["picture 9"]
    assert card.counts["tar that is compressed, damaged or cut off: the rest of it"] == 1
    assert 1 < card.num_samples["train"] < 5


@pytest.mark.parametrize("number", ["3", "-1", "bird", "1.0", "", "9" * 30])
def test_a_class_that_is_not_named_is_counted(benchmark: Path, number: str) -> None:
    tar(
        benchmark / "test" / "0.tar",
        [("a.webp", webp(1)), ("a.cls", number.encode()), ("b.webp", webp(2)), ("c.webp", webp(3)), ("c.cls", b"1")],
    )
    card = imported(benchmark)
    unnamed = {"class that the list of classes does not name": 1, "no class": 1}
    assert card.counts == (unnamed if number else {"empty file": 1, "no class": 1}) and card.num_samples["test"] == 1


def test_classes_of_one_name_are_told_apart(benchmark: Path) -> None:
    put(benchmark / "classnames.txt", "cat\ndog\ncat\n")
    card = imported(benchmark)
    assert card.classes == ("cat", "dog", "cat (2)") and card.counts == {"class name that stands twice: numbered": 1}
    assert opened(benchmark).targets.tolist()[:3] == [0, 1, 2]


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("classnames.txt", "a+++b\nc\nd", r"class name"),
        ("classnames.txt", "a\n\nd", r"class name"),
        ("zeroshot_classification_templates.txt", "a photo", "prompt template"),
        ("classnames.txt", b"caf\xe9", "not text in UTF-8"),
        ("zeroshot_classification_templates.txt", b"\xff{c}", "not text in UTF-8"),
        ("dataset_type.txt", "segmentation", "'segmentation' is not supported"),
        ("train/nshards.txt", "many", "holds 'many', no number"),
        ("train/nshards.txt", "14", r"promises 14 shards, there are 12, without 12.tar, 13.tar"),
        ("train/nshards.txt", "11", "promises 11 shards, there are 12"),
        ("val/0.tar", "", None),
    ],
)
def test_what_cannot_be_understood_is_refused(
    benchmark: Path, file: str, content: str | bytes, text: str | None
) -> None:
    put(benchmark / file, content)
    if text is None:
        put(benchmark / "validation" / "0.tar", content)
        text = "are both the validation split"
    with pytest.raises(FomoError, match=text):
        imported(benchmark)
    assert not (benchmark.parent / "out").exists()


def test_folders_without_shards_or_classes_are_refused(benchmark: Path, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="is not a folder"):
        imported(tmp_path / "nowhere")
    with pytest.raises(FomoError, match="no shard in"):
        imported(put(tmp_path / "some" / "folder" / "x", "").parent)
    (benchmark / "classnames.txt").unlink()
    with pytest.raises(FomoError, match=r"classnames.txt' is missing"):
        imported(benchmark)


def test_nothing_usable_leaves_nothing(tmp_path: Path) -> None:
    tar(tmp_path / "laion" / "0.tar", [("a.jpg", b"x"), ("a.txt", b"y")])
    with pytest.raises(FomoError, match="no usable image"):
        imported(tmp_path / "laion")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_with_workers_gives_the_same_bytes(
    benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(benchmark)
    arguments = ["data", "import", "webdataset", str(benchmark), "--name", "mine", "--workers", "2", "--out"]
    assert status(*arguments, str(tmp_path / "other")) == 0
    assert "mine: 3 classes" in capsys.readouterr().out
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / o / "mine").iterdir()} for o in ("out", "other"))
    assert one == other
    assert "--size 0" in error_of(capsys, *arguments, str(tmp_path / "third"), "--size", "0")
