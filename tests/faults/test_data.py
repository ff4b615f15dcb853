"""Data that goes while a run reads it: the dataset and the sample are named, and nothing is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fomo.checkpoint.files import numbered
from fomo.data.samples import ArraySamples
from fomo.errors import FomoError
from fomo.results.layout import CHECKPOINTS
from fomo.running.run import execute
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.helpers import encoded, imported, picture
from tests.fomo.tars import tar

Act = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data, and a run on it that nothing happened to."""
    data = imported(tmp_path_factory.mktemp("data"))
    return data, tiny.run(tmp_path_factory.mktemp("whole") / "run", *on(data))


def on(data: Path) -> tuple[str, ...]:
    return (f"stream.root={data}", "stream.adaptation=[pocket_flags,mine]", "stream.retention=[pocket_counting]")


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 20)


def spoil(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


class Breaking(tiny.Silent):
    """Does something to the shard of a split once task 0 is evaluated; what is open stays open."""

    def __init__(self, act: Act, shard: Path) -> None:
        self._act, self._shard = act, shard

    def evaluating(self, task: int, dataset: str) -> None:
        if task == 0 and dataset == "pocket_counting":
            self._act(self._shard)


CASES: list[tuple[str, Act, int, str]] = [
    ("train", Path.unlink, 2, r"cannot be read \(No such file"),
    ("train", spoil, 0, r"cannot be used \(broken"),
    ("test", truncate, 0, r"cannot be read \(the file ends before it"),
    ("test", Path.unlink, 2, r"cannot be read \(No such file"),
]


@pytest.mark.parametrize(("split", "act", "num_workers", "why"), CASES)
def test_what_goes_is_named_and_its_return_gives_the_same_bytes(
    split: str, act: Act, num_workers: int, why: str, whole: tuple[Path, Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(whole[0], data)
    shard, overrides = data / "mine" / f"{split}-000000.tar", (*on(data), f"runtime.num_workers={num_workers}")
    kept, folder = shard.read_bytes(), tmp_path / "run"
    expected = rf"^sample \d+ of split '{split}' of dataset 'mine' in {shard} {why}[^\n]*the same command goes on\.$"
    with pytest.raises(FomoError, match=expected):
        execute(tiny.prepared(*overrides), folder, Breaking(act, shard))
    assert numbered(folder / CHECKPOINTS)
    shard.write_bytes(kept)
    assert differences(whole[1], tiny.run(folder, *overrides)) == []


@pytest.mark.parametrize("act", [Path.unlink, truncate])
def test_a_file_of_the_pool_is_named_too(act: Act, tmp_path: Path) -> None:
    pool = tmp_path / "pool.tar"
    tar(pool, [(f"{n}.{kind}", x) for n in range(30) for kind, x in (("png", encoded(picture(n))), ("txt", b"text"))])
    prepared = tiny.prepared(f"stream.pool=[{pool}]", "stream.pool_window=7")
    assert prepared.maker[1, 0].counts[0] > 0  # its headers are read
    act(pool)
    with pytest.raises(FomoError, match=r"pool\.tar: cannot be read \(sample '\d+' of the pretraining pool lies in it"):
        for step in range(3):
            prepared.maker[1, step]


def test_a_file_of_the_pocket_is_named_too(tmp_path: Path) -> None:
    reads: dict[str, Callable[[ArraySamples], object]] = {
        "images.npy": lambda samples: samples.image(0),
        "targets.npy": len,
        "captions.json": lambda samples: samples.captions(0),
    }
    for file, read in reads.items():
        with pytest.raises(FomoError, match=rf"{file}: cannot be read .*{tmp_path.name}"):
            read(ArraySamples(tmp_path))
