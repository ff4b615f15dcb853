"""Whatever is damaged in a dataset is found and named."""

import json
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomo.data.card import read_card
from fomo.data.importing import split_writer
from fomo.data.importing.folder import folder_source
from fomo.data.importing.job import bring_in
from fomo.data.inspect.verify import Problem, verify
from fomo.system.digest import file_digest
from fomo.system.workers import runner
from tests.fomo.helpers import error_of, picture, put, status
from tests.fomo.tars import tar


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(split_writer, "SHARD_BYTES", 4000)
    for number in range(60):
        put(tmp_path / "tree" / f"class {number % 3}" / f"a nice {number:03d}.png", picture(number))
    put(tmp_path / "tree" / "class 0" / "broken.png", b"x")
    bring_in(folder_source(tmp_path / "tree", "mine"), tmp_path / "data")
    return tmp_path / "data" / "mine"


def problems(folder: Path, decode: bool = True) -> list[Problem]:
    return list(verify(folder, map, decode))


def accept(folder: Path) -> None:
    """Make the card agree with the files, so that the checks behind the hashes are seen."""
    content = json.loads((folder / "dataset.json").read_text())
    content["hashes"] = {name: file_digest(folder / name) for name in content["hashes"] if (folder / name).exists()}
    put(folder / "dataset.json", json.dumps(content))


def change_card(folder: Path, **changes: object) -> None:
    put(folder / "dataset.json", json.dumps(json.loads((folder / "dataset.json").read_text()) | changes))


def change_index(folder: Path, column: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = folder / "index-train.npz"
    with np.load(path) as stored:
        columns = dict(stored)
    np.savez(path, **(columns | {column: change(columns[column])}))


def change_tar(folder: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of equal number in the first shard."""
    path = folder / "train-000000.tar"
    data = path.read_bytes()
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new, 1))


def rename_members(folder: Path, old: str, new: str) -> None:
    """In the first shard; sizes and places stay."""
    path = folder / "train-000000.tar"
    with tarfile.open(path) as stored:
        members = [(info.name.replace(old, new), stored.extractfile(info).read()) for info in stored]  # type: ignore
    tar(path, members)


def test_what_was_imported_is_whole(folder: Path) -> None:
    assert problems(folder) == []
    card = read_card(folder / "dataset.json")
    assert set(card.hashes) == {path.name for path in folder.iterdir()} - {"dataset.json"}
    ticks: list[int] = []
    assert not list(verify(folder, map, True, ticks.append)) and sum(ticks) == 60


def test_workers_find_the_same(folder: Path) -> None:
    change_tar(folder, b"a nice", b"a nicy")
    with runner(2) as run:
        assert list(verify(folder, run)) == problems(folder) != []


def test_every_flipped_byte_of_a_shard_is_found(folder: Path) -> None:
    path = folder / "train-000000.tar"
    whole = path.read_bytes()
    for place in range(0, len(whole), 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert Problem(path.name, "has changed: its SHA-256 is another one") in problems(folder, decode=False)


@pytest.mark.parametrize("name", ["train-000001.tar", "index-test.npz", "left_out.jsonl"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert Problem(name, "is missing") in problems(folder)


def test_a_file_too_many_is_named(folder: Path) -> None:
    put(folder / "train-000999.tar", b"")
    assert problems(folder) == [Problem("train-000999.tar", "is not named by the card")]


def test_a_renamed_folder_and_a_card_without_hashes_are_named(folder: Path) -> None:
    moved = folder.rename(folder.with_name("yours"))
    change_card(moved, hashes={})
    assert [problem.what for problem in problems(moved)] == [
        "the dataset is named 'mine', its folder 'yours'",
        "names no hashes: import the dataset anew",
    ]


@pytest.mark.parametrize(
    ("column", "change", "text"),
    [
        ("target", lambda values: values + 3, "targets that are no classes"),
        ("target", lambda values: values - 2, "target outside of -1 to"),
        ("target", lambda values: values[:-1], "all of one length"),
        ("shard", lambda values: values + 100, "which is missing"),
        ("image_offset", lambda values: values + 1, "does not fit its members"),
        ("json_size", lambda values: values - 1, "does not fit its members"),
        ("image_size", lambda values: values + 10**12, "image_size outside of 0 to"),
        ("json_size", lambda values: values + 2**62, "json_size outside of 0 to"),
        ("image_offset", lambda values: values - 10**6, "image_offset outside of 0 to"),
        ("image_offset", lambda values: values + 10**6, "points out of shard 0"),
        ("digest", lambda values: values ^ 1, "its image is not the one that was stored"),
        ("target", lambda values: (values + 1) % 3, "its class is not that of the index"),
    ],
)
def test_a_wrong_index_is_found(
    folder: Path, column: str, change: Callable[[np.ndarray], np.ndarray], text: str
) -> None:
    change_index(folder, column, change)
    accept(folder)
    assert any(text in problem.what for problem in problems(folder))


def test_an_index_that_is_none_is_found(folder: Path) -> None:
    put(folder / "index-train.npz", b"PK no")
    accept(folder)
    assert any(problem.place == "index-train.npz" and "cannot be read" in problem.what for problem in problems(folder))
    np.savez(folder / "index-train.npz", target=np.zeros(3))
    accept(folder)
    assert any("cannot be read" in problem.what for problem in problems(folder))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b'"captions": ["', b'"captions":  "', "Expecting"),
        (b'"captions"', b'"captionz"', "captions are no lists"),
        (b'"class": "class 0"', b'"class": "class 7"', "class is not that of the index"),
        (b"IDAT", b"IDAX", "broken"),
        (b'"pixels": "', b'"pixelz": "', "not the one that was stored"),
    ],
)
def test_a_wrong_member_is_found(folder: Path, old: bytes, new: bytes, text: str) -> None:
    change_tar(folder, old, new)
    accept(folder)
    found = [problem.what for problem in problems(folder)]
    assert any(text in what for what in found), found


@pytest.mark.parametrize(
    ("old", "new"),
    [("000001.png", "000000.png"), ("000001", "000000"), ("000001", "00.001"), ("000001.json", "000001.cls")],
)
def test_wrong_keys_are_found(folder: Path, old: str, new: str) -> None:
    rename_members(folder, f"000000{old}", f"000000{new}")
    accept(folder)
    assert [problem.place for problem in problems(folder) if "distinct pairs" in problem.what] == ["train-000000.tar"]


def test_a_picture_that_was_exchanged_is_found(folder: Path) -> None:
    """Two pictures of equal size in each other's place."""
    path = folder / "train-000000.tar"
    data = path.read_bytes()
    with np.load(folder / "index-train.npz") as index:
        places = np.stack([index["image_offset"], index["image_size"]], axis=1)[index["shard"] == 0].tolist()
    (one, size), (other, _) = next((a, b) for a in places for b in places if a[1] == b[1] and a[0] < b[0])
    swapped = bytearray(data)
    swapped[one : one + size], swapped[other : other + size] = data[other : other + size], data[one : one + size]
    path.write_bytes(bytes(swapped))
    accept(folder)
    assert [problem.what for problem in problems(folder)] == ["its image is not the one that was stored"] * 2
    assert problems(folder, decode=False) == []


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folder, tmp_path / "data" / "other")
    change_card(tmp_path / "data" / "other", name="other")
    assert status("data", "verify", str(tmp_path / "data"), "--workers", "1") == 0
    shown = capsys.readouterr().out
    assert "mine: whole (60 samples read)" in shown and "other: whole" in shown
    put(folder / "train-000000.tar", b"")
    assert status("data", "verify", str(folder), "--workers", "1", "--no-decode") == 2
    captured = capsys.readouterr()
    assert "train-000000.tar: has changed" in captured.out and "not whole: mine" in captured.err
    assert "no dataset in" in error_of(capsys, "data", "verify", str(tmp_path / "nowhere"))
    assert "--workers 0" in error_of(capsys, "data", "verify", str(folder), "--workers", "0")


class Interrupted(Exception):
    """Somebody pressed a key."""


def read_rows(folder: Path, stop_after: int | None = None) -> list[int]:
    """Rows of the training split that a verification decodes; interrupted after so many batches."""
    rows: list[int] = []

    def run(work: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        for number, job in enumerate(jobs):
            if isinstance(job, list):
                if stop_after is not None and number >= stop_after:
                    raise Interrupted
                rows.extend(job)
            yield work(job)

    try:
        assert not list(verify(folder, run))
    except Interrupted:
        assert stop_after is not None
    return rows


@pytest.fixture
def noted(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dataset; progress is noted after every batch of 8."""
    monkeypatch.setenv("FOMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("fomo.data.inspect.verified.SECONDS", 0.0)
    monkeypatch.setattr("fomo.data.inspect.verify.CHUNK", 8)
    return folder


def test_an_interrupted_verification_goes_on(noted: Path) -> None:
    everything = read_rows(noted)
    first = read_rows(noted, stop_after=2)
    assert first == everything[:16]
    assert read_rows(noted) == everything[16:], "what was found whole is not read again"
    assert read_rows(noted) == everything, "a finished one leaves no note"


def test_a_note_counts_for_the_very_bytes_alone(noted: Path) -> None:
    everything = read_rows(noted)
    read_rows(noted, stop_after=2)
    change_tar(noted, b"IDAT", b"IDAX")
    assert {problem.place for problem in verify(noted, map)} >= {"train-000000.tar", "sample 0 of train"}
    accept(noted)
    assert any("sample" in problem.place for problem in verify(noted, map))
    assert everything


@pytest.mark.parametrize("text", ["", "[]", "{", '{"train": "x"}', '{"train": -5}'])
def test_a_note_that_is_none_of_ours_does_no_harm(text: str, noted: Path, tmp_path: Path) -> None:
    read_rows(noted, stop_after=1)
    (note,) = (tmp_path / "cache" / "verified").iterdir()
    note.write_text(text)
    assert not list(verify(noted, map))


def test_json_has_every_problem_of_every_dataset(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    for name in ("cut", "odd"):
        shutil.copytree(folder, root / name)
        change_card(root / name, name=name)
    for number in range(30):
        put(root / "cut" / f"stray-{number}.txt", "x")
    put(root / "odd" / "dataset.json", "{")
    assert status("data", "verify", str(root), "--json", "--workers", "1") == 2
    shown = capsys.readouterr()
    cut, mine, odd = json.loads(shown.out)
    assert [each["name"] for each in (cut, mine, odd)] == ["cut", "mine", "odd"]
    assert mine == {"name": "mine", "folder": str(folder), "samples": 60, "read": True, "problems": []}
    assert len(cut["problems"]) == 30 and cut["problems"][0]["place"] == "stray-0.txt"
    assert odd["samples"] is None and odd["problems"][0]["place"] == "dataset.json"
    assert "not whole: cut, odd" in shown.err
    assert status("data", "verify", str(root), "--workers", "1") == 2
    text = capsys.readouterr().out
    assert "10 more not shown (--json has all)" in text and "mine: whole (60 samples read)" in text
    assert f"{root / 'odd' / 'dataset.json'}: not JSON" in text
