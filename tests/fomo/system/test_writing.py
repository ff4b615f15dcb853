"""Files that are written are whole, or not there; what was there before stays until then."""

import json
import os
from pathlib import Path

import pytest

from fomo.system import writing
from fomo.system.writing import (
    file_beside,
    folder_beside,
    remove_scratch,
    scratch_of,
    write_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_under_a_hidden_name_and_renamed(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("before")
    with file_beside(path) as scratch:
        scratch.write_text("after")
        assert names(tmp_path) == [".scores.json.partial", "scores.json"] and path.read_text() == "before"
    assert names(tmp_path) == ["scores.json"] and path.read_text() == "after"


def test_an_error_leaves_the_file_that_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), file_beside(path) as scratch:
        scratch.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["scores.json"] and path.read_text() == "before"


def test_an_error_before_anything_is_written_arrives_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_text(tmp_path / "nowhere" / "a.txt", "text")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "\ud800")
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    scratch_of(tmp_path / "a.bin").write_bytes(b"half of something long")
    write_bytes(tmp_path / "a.bin", b"whole")
    assert names(tmp_path) == ["a.bin"] and (tmp_path / "a.bin").read_bytes() == b"whole"


def test_processes_that_share_a_path_do_not_share_the_scratch_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "order.json"
    with file_beside(path, shared=True) as mine:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        write_text(path, "theirs", shared=True)
        mine.write_text("mine")
    assert names(tmp_path) == ["order.json"] and path.read_text() == "mine"


def test_json_is_one_value_a_line_in_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "é", "values": [1, 0.5]})
    content = (tmp_path / "a.json").read_bytes()
    assert content == '{\n "name": "é",\n "values": [\n  1,\n  0.5\n ]\n}\n'.encode()
    assert json.loads(content) == {"name": "é", "values": [1, 0.5]}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_without_a_meaning_is_refused_and_nothing_is_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"score": number})
    assert names(tmp_path) == []


@pytest.mark.parametrize("synced", [False, True])
def test_a_folder_is_renamed_with_all_its_files(tmp_path: Path, synced: bool) -> None:
    path = tmp_path / "deep" / "000001"
    with folder_beside(path, synced) as scratch:
        (scratch / "a").write_text("a")
        assert names(path.parent) == [".000001.partial"]
    assert names(path.parent) == ["000001"] and names(path) == ["a"]


def test_a_synced_folder_has_its_files_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    path = tmp_path / "000001"
    monkeypatch.setattr(writing, "sync", lambda each: synced.append((each.name, path.exists())))
    with folder_beside(path, synced=True) as scratch:
        (scratch / "a").write_text("a")
    assert synced == [("a", False), (".000001.partial", False), (tmp_path.name, True)]


def test_a_folder_that_a_killed_process_left_is_begun_anew(tmp_path: Path) -> None:
    scratch_of(tmp_path / "000001").mkdir()
    (scratch_of(tmp_path / "000001") / "old").write_text("x")
    with folder_beside(tmp_path / "000001") as scratch:
        (scratch / "a").write_text("a")
    assert names(tmp_path / "000001") == ["a"]


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), folder_beside(tmp_path / "000001") as scratch:
        (scratch / "a").write_text("a")
        raise OSError("full")
    assert names(tmp_path) == []


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    scratch_of(tmp_path / "000001").mkdir()
    (scratch_of(tmp_path / "000001") / "a").write_text("a")
    scratch_of(tmp_path / "final.safetensors").write_text("half")
    (tmp_path / "000000").mkdir()
    remove_scratch(tmp_path)
    assert names(tmp_path) == ["000000"]
