"""Files that are not text: tars, pictures, indices, checkpoints."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from fomo.checkpoint.files import STATE, TENSORS, latest, snapshot, write
from fomo.data.card import SHOWN, DatasetCard
from fomo.data.images import BadImage, decode, format_if_still
from fomo.data.importing.job import _read
from fomo.data.importing.webdataset import Layout, TarEntry
from fomo.data.importing.webdataset import scan as scan_entries
from fomo.data.scanned_tar import ScannedTar
from fomo.data.shard_index import COLUMNS
from fomo.data.shards import open_dataset
from fomo.data.sources import LeftOut, tar_members
from tests.fomo.helpers import encoded, picture, put
from tests.fomo.tars import member
from tests.fuzz.harness import HEAVY, PARSER, survives
from tests.fuzz.strategies import SCRIPTS, json_bytes, mutated, spoilt

NAMES = st.sampled_from(
    ("a.png", "a.txt", "a.json", "a.cls", "b/c.jpg", "../x.png", "/etc/x.png", "a/../../b.txt", ".", "..", "a.b.png")
)
KINDS = (
    tarfile.REGTYPE,
    tarfile.AREGTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
    tarfile.DIRTYPE,
    tarfile.CONTTYPE,
    tarfile.GNUTYPE_SPARSE,
    b"g",
    b"x",
    b"L",
    b"K",
    b"Z",
)
PNG = encoded(picture(1))
CONTENTS = st.sampled_from((PNG, b"a cat", b"0", b'{"caption": "x"}', b"{" * 2000, b"", b"\xff")) | st.binary(
    max_size=20
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Headers of any kind and name; sizes that are not those of the contents; bytes changed afterwards."""
    buffer = io.BytesIO()
    for _ in range(draw(st.integers(0, 4))):
        name = draw(NAMES | SCRIPTS.filter(lambda text: "\ud800" not in text))
        content = draw(CONTENTS)
        info = member(
            name.replace("\0", ""), draw(st.sampled_from(KINDS)), draw(st.sampled_from(("", "/etc/passwd", "a.png")))
        )
        info.size = draw(st.sampled_from((len(content), len(content), 0, 1, 8**11 - 1)))
        info.pax_headers = draw(
            st.sampled_from(
                (
                    {},
                    {"size": "-5"},
                    {"path": "../../x.png"},
                    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
                    {"GNU.sparse.map": "1,x"},
                )
            )
        )
        try:
            head = info.tobuf(draw(st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))), errors="surrogateescape")
        except ValueError:
            continue
        buffer.write(head + content + bytes(-len(content) % 512))
    whole = buffer.getvalue() + bytes(draw(st.sampled_from((0, 512, 1024))))
    return draw(spoilt(whole)) if draw(st.booleans()) else whole


@PARSER
@given(data=tars() | st.binary(max_size=1100))
@example(b"\x1f\x8b\x08" + bytes(600))
def test_headers_of_tars(root: Path, data: bytes) -> None:
    path = put(root / "box" / "0.tar", data)
    for found in survives(root, lambda: list(tar_members(path))) or ():
        if not isinstance(found, LeftOut):
            assert not found.name.startswith(("/", "..")) and found.location.path == path
    assert [each.name for each in (root / "box").iterdir()] == ["0.tar"]


@HEAVY
@given(data=tars())
def test_samples_of_tars(root: Path, data: bytes) -> None:
    path = put(root / "box" / "0.tar", data)
    survives(root, lambda: read_tar(path))


def read_tar(path: Path) -> None:
    """As a pool, and as what an import brings in."""
    scanned = ScannedTar(path)
    for index in range(len(scanned)):
        assert all(isinstance(text, str) for text in scanned.captions(index))
    for layout in (Layout("classification", ("cat",)), Layout("retrieval"), Layout("pairs")):
        for entry in scan_entries(path, layout):
            if isinstance(entry, TarEntry):
                result = _read(entry, None, SHOWN)
                assert isinstance(result, LeftOut) or result.about["class"] in ("cat", None)


GREY = np.linspace(0, 65_535, 48).reshape(6, 8)
PICTURES = [
    encoded(picture(1)),
    encoded(picture(1).convert("RGBA")),
    encoded(picture(1).convert("P")),
    encoded(Image.fromarray(GREY.astype(np.uint16))),
    encoded(picture(2), "JPEG"),
    encoded(picture(2).convert("CMYK"), "JPEG"),
    encoded(picture(3), "WEBP"),
    encoded(picture(4), "GIF"),
    encoded(picture(4), "GIF", save_all=True, append_images=[picture(5)]),
    encoded(picture(5), "BMP"),
    encoded(picture(5), "PPM"),
    encoded(picture(6), "TIFF"),
    encoded(picture(6), "TIFF", compression="tiff_adobe_deflate"),
    encoded(Image.fromarray((GREY / 65_535).astype(np.float32)), "TIFF"),
]


def test_there_is_a_picture_of_every_format_to_begin_with() -> None:
    assert all(decode(data).mode == "RGB" for data in PICTURES)


@HEAVY
@given(draw=st.data(), number=st.integers(0, len(PICTURES) - 1))
def test_pictures(root: Path, draw: st.DataObject, number: int) -> None:
    data = draw.draw(spoilt(PICTURES[number]))

    def look() -> None:
        format_if_still(data)
        try:
            image = decode(data, max_pixels=10_000)
        except BadImage as reason:
            assert str(reason) in ("broken", "empty", "too many pixels", "unknown range")
            return
        assert image.mode == "RGB" and 0 < image.width * image.height <= 10_000

    survives(root, look)


ROWS = {column: np.array([0, 0], dtype=np.int64) for column in COLUMNS} | {"target": np.array([0, 1])}
SAVED = st.sampled_from(
    [
        np.array([0, 2**62]),
        np.array([-1, 0]),
        np.array([5, 5]),
        np.array([0]),
        np.array([]),
        np.array(3),
        np.array([0.5, 1.0]),
        np.array(["a", "b"]),
        np.array([[0, 0]]),
        np.array([2**63 - 1, -(2**63)]),
        np.array([[None], [{}]], dtype=object),
    ]
)


@st.composite
def indices(draw: st.DrawFn) -> bytes:
    """An index with a column replaced or gone, compressed, or with bytes changed."""
    columns: dict[str, Any] = dict(ROWS)
    for column in draw(st.lists(st.sampled_from(COLUMNS), max_size=2)):
        columns[column] = draw(SAVED)
    if draw(st.integers(0, 5)) == 0:
        del columns[draw(st.sampled_from(COLUMNS))]
    buffer = io.BytesIO()
    (np.savez_compressed if draw(st.integers(0, 5)) == 0 else np.savez)(buffer, **columns)
    return draw(spoilt(buffer.getvalue())) if draw(st.booleans()) else buffer.getvalue()


ABOUT = {
    "class": "cat",
    "captions": ["a cat"],
    "caption_kinds": {"default": ["a cat"]},
    "pixels": "0" * 64,
    "path": "x",
}


@PARSER
@given(data=indices(), about=json_bytes(ABOUT))
def test_indices_of_shards(root: Path, data: bytes, about: bytes) -> None:
    folder = root / "mine"
    if not (folder / "dataset.json").is_file():
        card = DatasetCard("mine", ("cat", "dog"), ("a {}",), {"train": 2})
        put(folder / "dataset.json", json.dumps(card.to_json()))
    put(folder / "train-000000.tar", about)
    put(folder / "index-train.npz", data)

    def look() -> None:
        samples = open_dataset(folder).split("train")
        assert len(samples) == 2 and set(samples.targets.tolist()) <= {-1, 0, 1}
        for index in range(2):
            for read in (lambda: samples.captions(index), lambda: samples.image(index)):  # noqa: B023
                survives(root, read)

    survives(root, look)


@PARSER
@given(about=json_bytes(ABOUT), kind=st.sampled_from((None, "default", "synthetic")))
def test_texts_of_samples(root: Path, about: bytes, kind: str | None) -> None:
    folder = root / "texts"
    if not folder.is_dir():
        card = DatasetCard("texts", ("cat", "dog"), ("a {}",), {"train": 2})
        put(folder / "dataset.json", json.dumps(card.to_json()))
        np.savez(folder / "index-train.npz", **ROWS | {"json_size": np.array([2**20, 2**20])})
    put(folder / "train-000000.tar", about)
    texts = survives(root, lambda: open_dataset(folder).split("train").captions(0, kind))
    assert texts is None or all(isinstance(text, str) for text in texts)


TREE = {
    "place": {"task": 1, "steps": None},
    "record": {"events_bytes": 0, "evaluations": [{"task": 0}]},
    "network": {"weight": torch.arange(4.0).reshape(2, 2), "dtype": torch.float16},
    "method": (1, 2.5, float("inf"), {0: "x"}),
}


def state_of(root: Path) -> tuple[Any, bytes]:
    """What a whole checkpoint holds."""
    write(root / "000001", snapshot(TREE), {"seed": 0})
    content = json.loads((root / "000001" / STATE).read_text())["content"]
    return content, (root / "000001" / TENSORS).read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, bytes]:
    return state_of(tmp_path_factory.mktemp("whole"))


CONTENT, TENSOR_BYTES = (
    {"schema": "fomo.checkpoint/1", "identity": {"seed": 0}, "state": snapshot(TREE).state},
    save(dict(snapshot(TREE).tensors)),
)


@PARSER
@given(content=mutated(CONTENT) | st.just(CONTENT), tensors=spoilt(TENSOR_BYTES) | st.just(TENSOR_BYTES))
def test_checkpoints(root: Path, content: Any, tensors: bytes) -> None:
    """The hashes are right: who writes a checkpoint writes them too."""
    place = root / "checkpoint" / "000001"
    if isinstance(content, dict):
        content = content | {"tensors_sha256": hashlib.sha256(tensors).hexdigest()}
    text = json.dumps(content, ensure_ascii=False)
    put(place / TENSORS, tensors)
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    put(place / STATE, f'{{"sha256": "{digest}", "content": {text}}}'.encode(errors="replace"))
    found = survives(root, lambda: latest(place.parent, root / "events.jsonl"))
    if found is not None:
        survives(root, lambda: found.tree("cpu"))


@PARSER
@given(tensors=spoilt(TENSOR_BYTES))
@example(b"\xff" * 8)
@example((2**40).to_bytes(8, "little") + b"{}")
@example((2).to_bytes(8, "little") + b"{}")
@example(b"")
def test_stored_weights(root: Path, tensors: bytes) -> None:
    from methods.merging.reading import Stored, read

    path = put(root / "expert.safetensors", tensors)

    def look() -> None:
        stored = Stored(path)
        for name in stored:
            read(stored, name, slice(0, 1))

    survives(root, look)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    content, _ = state_of(tmp_path)
    assert content["identity"] == {"seed": 0}
    put(tmp_path / "000002" / STATE, b"[" * 100_000)
    found = latest(tmp_path, tmp_path / "events.jsonl")
    assert found is not None and found.path.name == "000001"
    assert torch.equal(found.tree("cpu")["network"]["weight"], TREE["network"]["weight"])  # type: ignore[index]
