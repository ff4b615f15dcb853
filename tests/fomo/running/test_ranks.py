"""A run of several processes that is stopped, killed or cannot be made: all end, with one error, and it goes on."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fomo.checkpoint.files import latest
from fomo.report.leaderboard import leaderboard
from fomo.results.layout import CHECKPOINTS
from tests import tiny
from tests.faults.compare import differences, events
from tests.faults.process import Ranks, left_behind
from tests.flawed import FLAWED, install

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
OFTEN = "checkpoint.every_steps=1"
RUN = (*FLAWED, OFTEN)


@pytest.fixture(scope="module", autouse=True)
def part(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        install(tmp_path_factory.mktemp("part"), patch)
        yield


def started(
    folder: Path,
    *overrides: str,
    size: int = 2,
    flaw: str = "",
    each: Mapping[int, Sequence[str] | Mapping[str, str]] | None = None,
) -> tuple[list[int | None], str]:
    """The statuses of a run's processes, and what they have printed."""
    arguments = ["run", *tiny.TINY, f"run.dir={folder}", *overrides]
    made = Ranks(arguments, folder, {"FLAW": flaw} if flaw else {}, size, each)
    return made.statuses(), made.log.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    statuses, printed = started(folder, *RUN)
    assert statuses == [0, 0], printed
    assert printed.count("GM: √(KA·ZS)") == 1
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which one process was asked to stop in a step; both have ended it."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    statuses, printed = started(folder, *RUN, flaw="SIGTERM 1 2")
    assert statuses == [75, 75], printed
    assert "is task 1 after 2 steps. The same command goes on.\n  torchrun --nproc-per-node=2 -m fomo run " in printed
    assert printed.count("stopped by") == 1
    return folder


def order(folder: Path) -> list[float]:
    return [each["regularizer.order"] for each in events(folder) if each["event"] == "step"]


def test_who_goes_on_ends_as_if_nothing_had_been(whole: Path, stopped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    assert started(folder, *RUN)[0] == [0, 0]
    assert differences(whole, folder) == []
    assert "not budgeted" in caveats(folder) and not any("processes" in each for each in caveats(folder))


def caveats(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "card.json").read_text())["caveats"]
    return found


def test_on_another_number_the_samples_come_in_the_same_order_and_the_result_says_so(
    whole: Path, stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    assert started(folder, *RUN, size=3, flaw="SIGUSR1 2 4")[0] == [75, 75, 75]
    assert tiny.run(folder, *RUN)  # alone
    assert order(folder) == order(whole) and len(set(order(whole))) == 6
    said = "processes: 2, then 3, then 1"
    assert said in caveats(folder) and said in json.loads((folder / "scores.json").read_text())["caveats"]
    assert said in (folder / "report.html").read_text() and said in str(leaderboard([folder]).entries[0])


FLAWS = {
    "memory": "error: rank 1: out of memory in task 1, step 1",
    "mistake": "ValueError: planted",
    "SIGKILL": "error: rank 0: another rank has gone",
}


@pytest.mark.parametrize("kind", FLAWS)
def test_what_ends_one_process_ends_all_with_one_error(kind: str, tmp_path: Path) -> None:
    """Within the time of ``SOON``, with a checkpoint that is whole; no process is left, workers neither."""
    folder = tmp_path / "run"
    made = Ranks(
        ["run", *tiny.TINY, f"run.dir={folder}", *RUN, "runtime.num_workers=2"], folder, {"FLAW": f"{kind} 1 2"}
    )
    statuses, printed = made.statuses(), made.log.read_text(encoding="utf-8")
    assert statuses == [2, {"memory": 2, "mistake": 1, "SIGKILL": -9}[kind]], printed
    assert FLAWS[kind] in printed and printed.count("Traceback") == (kind == "mistake")
    assert printed.count("error: ") == (kind != "mistake"), printed
    assert not (folder / "card.json").exists() and latest(folder / CHECKPOINTS, folder / "events.jsonl") is not None
    assert left_behind(made.groups) == 0


BAD: dict[str, tuple[tuple[str, ...], dict[int, Any], str]] = {
    "rows": (("batch_size=2",), {}, "batch_size=2 with 3 processes: each needs a row"),
    "nowhere": (("run.dir=/dev/null/run",), {}, "run.dir=/dev/null/run cannot be written to (/dev/null is no folder"),
    "config": ((), {2: ["seed=1"]}, "rank 2 is not about to run what rank 0 is (run 1.seed: 0 → 1)"),
    "jobs": (("-m", "seed=0,1"), {1: ["batch_size=12,24"]}, "rank 1 is not about to run what rank 0 is (run "),
    "of one": ((), {1: ["batch_size=-1"]}, "error: rank 1: batch_size=-1"),
    "again": (("resume=must",), {}, "resume=must"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_run_is_one_error_of_one_process(case: str, tmp_path: Path) -> None:
    overrides, each, said = BAD[case]
    statuses, printed = started(tmp_path / "run", *overrides, size=3, each=each)
    assert statuses == [2, 2, 2] and said in printed, printed
    assert printed.count("error: rank") == 1 and "Traceback" not in printed
    assert not (tmp_path / "run").exists()


def test_other_commands_take_one_process(tmp_path: Path) -> None:
    made = Ranks(["score", str(tmp_path)], tmp_path / "run", {})
    assert made.statuses() == [2, 2]
    assert made.log.read_text() == (
        "error: rank 0: fomo score is the work of one process: leave torchrun out, which is for `fomo run`.\n"
    )


def test_who_does_not_come_is_not_waited_for_long(tmp_path: Path) -> None:
    one_more = {"FOMO_JOIN_SECONDS": "1", "WORLD_SIZE": "3"}
    made = Ranks(["run", *tiny.TINY], tmp_path / "run", {}, each={0: one_more, 1: one_more})
    assert made.statuses() == [2, 2]
    said = made.log.read_text()
    assert "not all 3 ranks have met at 127.0.0.1:" in said and "in 1 s" in said and "Traceback" not in said
