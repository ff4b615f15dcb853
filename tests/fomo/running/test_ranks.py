"""A run of several processes that is stopped, killed or cannot be made: all end, with one error, and it goes on."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from fomo.checkpoint.files import latest
from fomo.errors import FomoError
from fomo.report.leaderboard import leaderboard
from fomo.results.layout import BAD_BATCH, CHECKPOINTS
from fomo.system.lock import locked
from fomo.testing.processes import _free_port as free_port
from fomo.testing.processes import on_ranks
from tests import tiny
from tests.faults import process
from tests.faults.compare import differences, events
from tests.faults.process import PHASES, Fork, Ranks, left_behind
from tests.flawed import FLAWED, install
from tests.fomo.helpers import encoded, imported, picture
from tests.fomo.tars import tar
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
OFTEN = "checkpoint.every_steps=1"
RUN = (*FLAWED, OFTEN)
PRINTED: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


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
    found: list[str] = json.loads((folder / "card.json").read_text())["marks"]
    return found


def test_on_another_number_the_samples_come_in_the_same_order_and_the_result_says_so(
    whole: Path, stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    assert started(folder, *RUN, size=3, flaw="SIGUSR1 2 4")[0] == [75, 75, 75]
    assert tiny.run(folder, *RUN)  # alone
    assert order(folder) == order(whole) and len(set(order(whole))) == 6
    said = "processes: 2, then 3, then 1"
    assert said in caveats(folder) and said in json.loads((folder / "scores.json").read_text())["marks"]
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
        ["run", *tiny.TINY, f"run.dir={folder}", *RUN, "runtime.num_workers=1"], folder, {"FLAW": f"{kind} 1 2"}
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
    "jobs": (("-m", "seed=0,1"), {}, "torchrun starts the processes of one run, and this is a sweep"),
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


def test_a_store_that_says_nothing_is_not_waited_for_without_end(tmp_path: Path) -> None:
    """It takes the connection, as the socket of a process does that is stuck or was left behind."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = process.started(0, 2, silent.getsockname()[1]) | {"FOMO_JOIN_SECONDS": "1"}
        fork = Fork(["run", *tiny.TINY], tmp_path / "run", environment)
        until(fork.looked)
    assert fork.status == 2
    assert "not all 2 ranks have met at 127.0.0.1:" in (tmp_path / "run.log").read_text()


def test_who_goes_once_it_has_answered_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = dist.init_process_group

    def gone(*arguments: Any, **named: Any) -> None:
        if os.environ["RANK"] == "1":
            os._exit(9)
        connect(*arguments, **named)

    monkeypatch.setattr(dist, "init_process_group", gone)
    made = Ranks(["run", *tiny.TINY], tmp_path / "run", {}, each={0: {"FOMO_JOIN_SECONDS": "3"}})
    assert made.statuses()[0] == 2
    said = made.log.read_text()
    assert said.startswith("error: rank 0: not all 2 ranks have met at 127.0.0.1:") and "in 3 s" in said


def test_ranks_are_forked_while_no_thread_asks_for_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a store does, of each who connects, and holds locks meanwhile that a forked process would wait for."""
    before = set(os.listdir("/proc/self/task"))
    added: list[set[str]] = []

    def fork(arguments: Sequence[str], place: Path, environment: Mapping[str, str]) -> Fork:
        added.append({*os.listdir("/proc/self/task")} - before)
        return Fork(arguments, place, environment)

    monkeypatch.setattr(process, "Fork", fork)
    made = Ranks(["--version"], tmp_path / "run", {})
    assert added == [set(), set()] and {*os.listdir("/proc/self/task")} - before
    assert made.statuses() == [0, 0]


def test_two_hosts_go_on_after_one_has_lost_its_process(whole: Path, tmp_path: Path) -> None:
    """Two agents of ``torchrun``, each of one process, as on two hosts; the store of the first attempt stays."""
    folder, port = tmp_path / "run", free_port()
    hosts = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}"]
    command = ["-m", "fomo", "run", *tiny.TINY, f"run.dir={folder}", *RUN]
    started = [sys.executable, "-m", "torch.distributed.run", *hosts, "--max-restarts=1", *command]
    environment = os.environ | {"FLAW": "SIGKILL 1 2", "PYTHONPATH": os.pathsep.join(sys.path)}
    with ExitStack() as stack:
        agents = [stack.enter_context(subprocess.Popen(started, env=environment, **PRINTED)) for _ in range(2)]
        stack.callback(lambda: [each.kill() for each in agents])
        printed = [each.communicate(timeout=300) for each in agents]
    assert [each.returncode for each in agents] == [0, 0], printed
    assert differences(whole, folder) == []
    assert any("another rank has gone" in errors for _, errors in printed)
    alone = tiny.run(tmp_path / "alone", *RUN)
    assert (folder / "scores.json").read_bytes() == (alone / "scores.json").read_bytes()


POLICIES = ("stop", "skip", "rewind")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_loss_that_is_not_finite_ends_alike(policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAW", "nan -1 5")
    overrides = (*FLAWED, f"on_nan={policy}", "rewind_every=1")
    alone, folder = tmp_path / "alone", tmp_path / "run"
    if policy == "stop":
        for run in (lambda: tiny.run(alone, *overrides), lambda: on_ranks(2, lambda: tiny.run(folder, *overrides))):
            with pytest.raises(FomoError, match=r"task 2, step 1: the loss after regularizer\.loss"):
                run()
        assert (folder / BAD_BATCH).read_bytes() == (alone / BAD_BATCH).read_bytes()
        return
    on_ranks(2, lambda: tiny.run(folder, *overrides).name)
    tiny.run(alone, *overrides)
    for name in ("ledger.json", "scores.json"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes()
    assert any("lost" in each for each in events(folder))
    assert [close(each) for each in events(folder)] == [close(each) for each in events(alone)]


def close(event: dict[str, Any]) -> dict[str, Any]:
    """What is not equal to the last bit over another number of processes, to some."""
    return event | {name: float(f"{event[name]:.4g}") for name in ("loss", "grad_norm") if event.get(name)}


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Imported data whose training split the second process cannot read any more once there is a checkpointed step."""
    read = os.pread
    events_file = tmp_path / "run" / "events.jsonl"

    def failing(file: int, size: int, start: int) -> bytes:
        shard = os.readlink(f"/proc/self/fd/{file}").endswith("train-000000.tar")
        if shard and os.environ.get("RANK") == "1" and '"step"' in events_file.read_text():
            raise OSError(errno.EIO, "Input/output error")
        return read(file, size, start)

    monkeypatch.setattr(os, "pread", failing)
    return imported(tmp_path / "data")


def test_a_file_that_one_process_cannot_read_keeps_the_steps_of_all(unreadable: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    data = (f"stream.root={unreadable}", "stream.adaptation=[mine]", "num_tasks=1", "budget.steps=30")
    statuses, printed = started(folder, *data)
    assert statuses == [2, 2] and printed.count("error: ") == 1, printed
    assert "error: rank 1: sample" in printed and "of split 'train' of dataset 'mine'" in printed
    found = latest(folder / CHECKPOINTS, folder / "events.jsonl")
    steps = sum(each["event"] == "step" for each in events(folder))
    assert found is not None and found.tree("cpu")["place"] == {"task": 1, "steps": steps} and 0 < steps < 30


def test_a_folder_in_use_is_one_error(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        statuses, printed = started(tmp_path / "run")
    assert statuses == [2, 2] and printed.count("error: rank 0: run.dir=") == 1 and "is in use by process" in printed


def test_what_is_left_out_is_counted_once(tmp_path: Path) -> None:
    """Each process meets what it draws; a run that goes on counts what was met before, on any number of them."""
    images = [(f"{n}.png", b"no image" if n % 3 == 0 else encoded(picture(n))) for n in range(12)]
    tar(tmp_path / "pool.tar", [*images, *((f"{n}.txt", b"word " * 100) for n in range(12))])
    pool = (f"stream.pool=[{tmp_path / 'pool.tar'}]", "stream.pool_window=5", *FLAWED)
    alone = tiny.run(tmp_path / "alone", *pool)
    folder = tmp_path / "run"
    assert started(folder, *pool, flaw="SIGTERM 0 4")[0] == [75, 75]
    assert started(folder, *pool)[0] == [0, 0]
    cards = [json.loads((each / "card.json").read_text()) for each in (alone, folder)]
    for name in ("left_out", "num_cut_captions"):
        assert cards[0][name] == cards[1][name] and cards[0][name]


@pytest.mark.parametrize("phase", ["start", "evaluation"])
def test_a_signal_outside_of_a_step_ends_who_hears_it_and_then_the_others(
    phase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process hears it as the phase begins."""

    def heard(function: Callable[..., Any], marks: Any, number: int) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if PHASES[number][2] == phase and os.environ["RANK"] == "1":
                os.kill(os.getpid(), signal.SIGUSR1)
            return function(*arguments, **named)

        return call

    monkeypatch.setattr("tests.faults.process._marked", heard)
    made = Ranks(["run", *tiny.TINY, f"run.dir={tmp_path / 'run'}"], tmp_path / "run", {})
    assert made.statuses() == [75, 75]
    printed = made.log.read_text()
    assert printed.count("stopped by SIGUSR1: nothing more was to be saved. The same command goes on.\n") == 1
    assert "error" not in printed and "Traceback" not in printed


def test_what_a_run_is_looked_at_is_the_same_in_several_processes(tmp_path: Path) -> None:
    """Within tasks, sample by sample, and the weights after each task; on one process and on two."""
    looks = (*RUN, "evaluation.every_steps=2", "evaluation.keep_samples=true", "keep_weights=all")
    statuses, printed = started(tmp_path / "two", *looks)
    assert statuses == [0, 0], printed
    tiny.run(tmp_path / "one", *looks)
    one, two = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("one", "two"))
    assert [(each["task"], each["step"]) for each in two["within"]] == [(1, 2), (2, 2)]
    assert two["within"] == one["within"] and two["evaluations"] == one["evaluations"]
    for name in ("samples.safetensors", "checkpoint/tasks/0001.safetensors"):
        assert (tmp_path / "two" / name).is_file() and (tmp_path / "one" / name).is_file()
    assert (tmp_path / "two" / "samples.safetensors").read_bytes() == (
        tmp_path / "one" / "samples.safetensors"
    ).read_bytes()
