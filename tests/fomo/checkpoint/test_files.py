"""Checkpoint folders: whole or not there, checked, the last two kept."""

import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fomo.checkpoint import files as checkpoint
from fomo.checkpoint import writer
from fomo.checkpoint.files import STATE, TENSORS, Damaged, Packed, latest, numbered, read, snapshot, write
from fomo.checkpoint.writer import CheckpointConfig, CheckpointWriter
from fomo.errors import FomoError
from tests.waiting import PATIENCE_SECONDS

IDENTITY = {"config": {"seed": 0}}


def tree(number: int) -> dict[str, Any]:
    return {"weights": torch.full((3,), float(number)), "record": {"events_bytes": number}}


def saver(folder: Path, **config: Any) -> CheckpointWriter:
    return CheckpointWriter(folder, IDENTITY, CheckpointConfig(**config))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A folder to which three checkpoints were saved, with 3 bytes of events beside it."""
    made = saver(tmp_path / "checkpoint")
    for number in (1, 2, 3):
        made.save(tree(number))
    made.wait()
    (tmp_path / "events.jsonl").write_text("abc")
    return tmp_path / "checkpoint"


def newest(folder: Path) -> float:
    found = latest(folder, folder.parent / "events.jsonl")
    return float(found.tree("cpu")["weights"][0]) if found else 0.0


def test_the_last_two_are_kept_and_the_newest_is_read(three: Path) -> None:
    assert list(numbered(three)) == [2, 3] and newest(three) == 3
    assert sorted(path.name for path in three.iterdir()) == ["000002", "000003"]


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [TENSORS, STATE])
@pytest.mark.parametrize(
    "damage", [spoil, Path.unlink, lambda p: p.write_bytes(p.read_bytes()[:-9]), lambda p: p.write_bytes(b"")]
)
def test_a_damaged_one_is_passed_over_with_a_warning(
    name: str, damage: Any, three: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(three / "000003" / name)
    with caplog.at_level(logging.WARNING):
        assert newest(three) == 2
    assert "000003 is damaged" in caplog.text and name in caplog.text


def test_without_a_whole_one_there_is_none_and_a_warning(three: Path, caplog: pytest.LogCaptureFixture) -> None:
    spoil(three / "000002" / TENSORS)
    (three / "000003" / STATE).unlink()
    assert newest(three) == 0
    assert "000002 is damaged" in caplog.text and "holds no whole checkpoint any more" in caplog.text


def test_one_of_another_version_of_the_code_is_no_damage(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SCHEMA", "fomo.checkpoint/999")
    with pytest.raises(FomoError, match=r"another version of the code \(schema: fomo\.checkpoint/\d+ → .*/999\)"):
        newest(three)


def test_numbers_are_numbers(tmp_path: Path) -> None:
    for name in ("999999", "1000000", "000002"):
        (tmp_path / name).mkdir()
    assert list(numbered(tmp_path)) == [2, 999_999, 1_000_000]


def test_one_that_is_ahead_of_the_events_is_passed_over(three: Path) -> None:
    (three.parent / "events.jsonl").write_text("ab")
    assert newest(three) == 2
    (three.parent / "events.jsonl").unlink()
    assert newest(three) == 0


def test_after_a_damaged_one_two_whole_ones_are_kept_again(three: Path) -> None:
    spoil(three / "000003" / TENSORS)
    found = latest(three, three.parent / "events.jsonl")
    assert found is not None
    made = CheckpointWriter(three, IDENTITY, CheckpointConfig(), found.path)
    made.save(tree(1))
    made.wait()
    assert list(numbered(three)) == [2, 4]


@given(st.binary(max_size=200))
def test_a_foreign_state_file_is_damage_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    place = tmp_path_factory.mktemp("foreign") / "000001"
    place.mkdir()
    (place / STATE).write_bytes(data)
    with pytest.raises(Damaged):
        read(place)
    shutil.rmtree(place)


def test_what_an_attempt_left_half_written_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".000001.partial").mkdir()
    (tmp_path / ".000001.partial" / "old").write_text("x")
    write(tmp_path / "000001", snapshot(tree(1)), IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["000001"]
    assert sorted(path.name for path in (tmp_path / "000001").iterdir()) == [STATE, TENSORS]


def test_a_disk_that_cannot_be_written_to_stops_the_run_and_names_what_is_whole(three: Path) -> None:
    made = CheckpointWriter(three, IDENTITY, CheckpointConfig(), three / "000003")
    (three / ".000004.partial").write_text("in the way")  # after the saver cleaned up: mkdir fails as on a full disk
    made.save(tree(4))
    with pytest.raises(FomoError, match=r"could not be written .*000003 is whole"):
        made.wait()
    (three / ".000004.partial").unlink()
    assert newest(three) == 3


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A disk that takes nothing before the event."""
    opened = threading.Event()

    def slow(path: Path, packed: Packed, identity: Any) -> None:
        opened.wait(PATIENCE_SECONDS)
        write(path, packed, identity)

    monkeypatch.setattr(writer, "write", slow)
    return opened


def test_a_second_one_does_not_wait_for_the_first_and_a_third_does(
    gate: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = saver(tmp_path / "checkpoint")
    weights = torch.zeros(3)
    for number in (1, 2):
        made.save({"weights": weights.fill_(number), "record": {"events_bytes": 0}})
    weights.fill_(7)
    assert not (tmp_path / "checkpoint").exists()
    monkeypatch.setattr(writer, "available_memory", lambda: (gate.set(), 2**60)[1])
    made.save(tree(3))
    assert 1 in numbered(tmp_path / "checkpoint")
    made.wait()
    kept = [float(read(path).tree("cpu")["weights"][0]) for path in numbered(tmp_path / "checkpoint").values()]
    assert kept == [2, 3]


def test_without_memory_for_a_second_copy_the_first_is_waited_for(
    gate: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = saver(tmp_path)
    made.save(tree(1))
    monkeypatch.setattr(writer, "available_memory", lambda: (gate.set(), 100)[1])
    made.save(tree(2))
    assert 1 in numbered(tmp_path)
    made.wait()
    assert list(numbered(tmp_path)) == [1, 2]


def test_after_one_that_could_not_be_written_none_is(gate: threading.Event, tmp_path: Path) -> None:
    made = saver(tmp_path)
    made.save(tree(1))
    made.save(tree(2))
    (tmp_path / ".000001.partial").write_text("in the way")
    gate.set()
    with pytest.raises(FomoError, match=r"could not be written .*There is none yet"):
        made.wait()
    made.wait()  # it is said once
    assert not numbered(tmp_path)


def test_what_changes_while_it_is_written_is_kept_as_it_was(device: str, tmp_path: Path) -> None:
    made = saver(tmp_path)
    weights = torch.ones(1000, 1000, device=device)
    for number in range(3):
        made.save({"weights": weights.T, "bias": torch.ones(3)})
        weights += 1
        made.wait()
        kept = read(tmp_path / f"{number + 1:06d}").tree(device)
        assert torch.equal(kept["weights"], (weights - 1).T) and kept["weights"].stride() == (1, 1000)


def test_a_copy_goes_to_memory_that_an_earlier_one_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory costs as much as the copy; a smaller one in between does not take it."""
    sizes: list[int] = []
    fresh = writer.host_memory
    monkeypatch.setattr(
        writer, "host_memory", lambda tensors: (sizes.append(writer.num_bytes(tensors)), fresh(tensors))[1]
    )
    made = saver(tmp_path)
    for size in (16, 64, 16, 64, 64):
        made.save({"weights": torch.full((size, 16), float(size)), "record": {"events_bytes": 0}})
        made.wait()
    assert sizes == [16 * 64, 64 * 64]
    kept = [read(path).tree("cpu")["weights"] for path in numbered(tmp_path).values()]
    assert all(torch.equal(each, torch.full((64, 16), 64.0)) for each in kept)


def test_steps_make_it_due(tmp_path: Path) -> None:
    made = saver(tmp_path, every_steps=3, every_minutes=None)
    assert [made.is_due() for _ in range(3)] == [False, False, True]
    made.save(tree(1))
    assert [made.is_due() for _ in range(3)] == [False, False, True]
    made.wait()
    never = saver(tmp_path, every_steps=None, every_minutes=None)
    assert not any(never.is_due() for _ in range(10))
    always = saver(tmp_path, every_minutes=0)
    assert always.is_due()


@pytest.mark.parametrize(("name", "value"), [("every_steps", 0), ("every_minutes", -1.0)])
def test_intervals_are_checked(name: str, value: float) -> None:
    with pytest.raises(FomoError, match=rf"checkpoint\.{name}={value}"):
        CheckpointConfig(**{name: value})  # type: ignore[arg-type]
