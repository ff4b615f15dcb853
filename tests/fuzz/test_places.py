"""Files that are none, links that lead elsewhere, weights with code in them."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from fomo.data.shard_index import COLUMNS, read_index
from fomo.data.shards import open_dataset, write_card
from fomo.errors import FomoError
from fomo.model.open_clip import pretrained_clip
from fomo.report.page import write_report
from fomo.running.folder import state_of
from fomo.system.reading import MAX_BYTES, read_json, read_yaml
from tests import tiny
from tests.fomo.helpers import error_of, evaluation, put, run_folder
from tests.fuzz.harness import watched

WHOLE = (evaluation(0, 10, 20, 64), evaluation(1, 30.5, 20, 60), evaluation(2, 40, 32, 36))


LINKS = ("events.jsonl", ".report.html.partial", ".lock", "checkpoint", "work/expert_0001.safetensors")


@pytest.mark.parametrize("name", LINKS)
def test_a_run_folder_with_a_link_is_not_written_to(name: str, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "precious", "mine")
    folder = run_folder(tmp_path / "run", *WHOLE)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(outside if "." in name else outside.parent)
    with watched(folder):
        with pytest.raises(FomoError, match="is a link"):
            write_report(folder)
        with pytest.raises(FomoError, match="is a link"):
            state_of(folder, tiny.resolved())
    assert outside.read_text() == "mine" and os.listdir(outside.parent) == ["precious"]


def test_a_pipe_in_a_run_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(run_folder(tmp_path, *WHOLE) / "work")
    with pytest.raises(FomoError, match="neither a file nor a folder"):
        write_report(tmp_path)


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_what_is_no_file_is_not_opened(read: object, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with watched(tmp_path):
        for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
            with pytest.raises(FomoError, match="not a file"):
                read(path)  # type: ignore[operator]
        for path in (tmp_path / "gone", tmp_path / "a\0b", tmp_path / ("x" * 300)):
            with pytest.raises(FomoError, match="cannot be read"):
                read(path)  # type: ignore[operator]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    os.truncate(put(tmp_path / "large.json", "[]"), MAX_BYTES + 1)
    with pytest.raises(FomoError, match=r"16,777,217 bytes, allowed are 16,777,216"):
        read_json(tmp_path / "large.json")


class Harmful:
    """What a pickle can hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".npz", ".npy", ".safetensors"])
def test_weights_with_code_in_them_are_refused(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npy":
        np.save(path, np.array([Harmful()], dtype=object), allow_pickle=True)
    elif suffix == ".bin":
        path.write_bytes(pickle.dumps({"state_dict": Harmful()}))
    else:
        torch.save({"state_dict": Harmful()}, path)
    with pytest.raises(FomoError, match="could not build"):
        pretrained_clip("RN50-quickgelu", str(path))
    assert not (tmp_path / "unpickled").exists()


def test_a_shard_that_is_a_pipe_does_not_hang(tmp_path: Path) -> None:
    from fomo.data.card import DatasetCard

    folder = tmp_path / "mine"
    folder.mkdir()
    write_card(folder, DatasetCard("mine", ("cat",), ("a {}",), {"train": 1}))
    np.savez(folder / "index-train.npz", **{column: np.zeros(1, dtype=np.int64) for column in COLUMNS})
    os.mkfifo(folder / "train-000000.tar")
    with watched(tmp_path), pytest.raises(FomoError, match="cannot be read"):
        open_dataset(folder).split("train").captions(0)


def test_an_index_of_single_numbers_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "index-train.npz", **dict.fromkeys(COLUMNS, np.array(3)))
    with pytest.raises(FomoError, match="all of one length"):
        read_index(tmp_path / "index-train.npz")


def test_an_error_steers_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = put(tmp_path / "stream.json", '["a+++b", "\\u001b]52;c;x\\u0007 no concept"]')
    shown = error_of(capsys, "stream", "show", str(file))
    assert "\x1b" not in shown and "\x07" not in shown and "\\x1b]52" in shown.replace("\\\\", "\\")
