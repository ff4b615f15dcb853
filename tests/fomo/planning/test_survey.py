"""Rows of many methods: one that fails loses no other, and the device has one at a time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch

from fomo.config import factory
from fomo.config.compose import compose
from fomo.errors import FomoError, WorkerHung
from fomo.planning import survey
from fomo.planning.measured import live_through, on_gpu, peak_bytes
from fomo.system.apart import apart
from fomo.training.step import Learner, StepResult
from tests import measures
from tests.faults.command import wait_for
from tests.fomo.budget import settings
from tests.fomo.helpers import status
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are made up, and measured by :func:`tests.measures.measured`."""
    monkeypatch.setattr(survey, "resolve", lambda values: None)
    monkeypatch.setattr(survey, "count", measures.counted)
    monkeypatch.setattr(survey, "num_cores", lambda: 1)
    monkeypatch.setattr(survey, "measures_of", lambda jobs: [measures.measured] * len(jobs))


def test_what_fails_is_a_row_and_each_process_has_ended_before_the_next(stand_ins: None, tmp_path: Path) -> None:
    labels = ["fine", *measures.PROBLEMS, "good"]
    jobs = measures.jobs(tmp_path / "log", *labels)
    rows = list(survey.survey(jobs, survey.measures_of(jobs)))
    assert [row["label"] for row in rows] == labels
    for row in rows:
        failed = row["label"] in measures.PROBLEMS
        assert (row["problem"] or "").startswith(measures.PROBLEMS.get(row["label"], ""))
        assert row["measured_peak_memory_gib"] == (None if failed else 1.0) and bool(row["problem"]) == failed
        assert row["measured_to_planned"] == (None if failed else 0.5) and row["gflops_per_step"] == 1.0
    assert [line.split()[:2] for line in (tmp_path / "log").read_text().splitlines()] == [[x, "alone"] for x in labels]


def test_a_counting_process_that_is_killed_loses_its_own_row_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(survey, "resolve", lambda values: None)
    monkeypatch.setattr(survey, "_attempt", measures.counted)
    monkeypatch.setattr(survey, "num_cores", lambda: 2)
    jobs = measures.jobs(tmp_path / "log", "a", "greedy", "b")
    rows = list(survey.survey(jobs, [None] * 3))
    assert [row["label"] for row in rows] == ["a", "greedy", "b"]
    assert [row["problem"] is None for row in rows] == [True, False, True]
    assert rows[1].keys() == {"method", "label", "problem"} and "by SIGKILL" in rows[1]["problem"]


def test_a_guest_that_fails_alone_raises_and_among_others_is_a_row(
    stand_ins: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def count(values: Any, with_work: bool) -> Any:
        if values["label"] == "odd":
            raise KeyError("missing")
        return measures.counted(values)

    monkeypatch.setattr(survey, "count", count)
    rows = list(survey.survey(measures.jobs(tmp_path / "log", "odd", "even"), [None, None]))
    assert rows[0]["problem"] == "not counted: KeyError: 'missing'" and rows[1]["problem"] is None
    with pytest.raises(KeyError):
        list(survey.survey(measures.jobs(tmp_path / "log", "odd"), [None]))


def test_the_command_shows_every_row_and_ends_with_1(
    stand_ins: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fomo.cli.budget.sweep", lambda overrides: ["large", "fine"])
    monkeypatch.setattr("fomo.cli.budget.compose", lambda job: measures.jobs(tmp_path / "log", job)[0])
    assert status("budget") == 1
    shown = capfd.readouterr().out.splitlines()
    assert shown[3].split() == ["large", "1", "1", "1", "2", "failed", "–", "1.0000", "1", "3", *"––––"]
    assert shown[4] == f"  large: {measures.PROBLEMS['large']}"
    assert shown[5].split() == ["fine", "1", "1", "1", "2", "1", "0.500", "1.0000", "1", "3", *"––––"]
    assert status("budget", "--json") == 1
    assert [row["measured_to_planned"] for row in json.loads(capfd.readouterr().out)] == [None, 0.5]


def test_an_interrupt_leaves_whole_json_of_the_rows_that_are_there(
    stand_ins: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(jobs: Any, measured_by: Any, machines: Any) -> Iterator[dict[str, Any]]:
        yield measures.counted(jobs[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(survey, "survey", interrupted)
    monkeypatch.setattr("fomo.cli.end_now", lambda code, message: sys.exit(code))
    assert status("budget", "--json", "method=lora,ewc") == 130
    assert [row["label"] for row in json.loads(capsys.readouterr().out)] == ["lora"]


INTERRUPTED = """
if __name__ == "__main__":
    import signal, sys
    from pathlib import Path
    from fomo.cli import budget, main
    from fomo.planning import survey
    from tests import measures

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    jobs = measures.jobs(Path(sys.argv[1]), "first", "endless", "last")
    survey.resolve = lambda values: None
    survey.num_cores = lambda: 1
    survey.count = measures.counted
    survey.measures_of = lambda jobs: [measures.measured] * 3
    budget.sweep = lambda overrides: jobs
    budget.compose = dict
    main(["budget"])
"""


def test_an_interrupt_ends_at_once_and_leaves_rows_and_no_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    command = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert command.stdout
    before = [command.stdout.readline() for _ in range(4)]  # the row is there while the second is measured
    wait_for(lambda: "endless" in (tmp_path / "log").read_text(), command)
    os.killpg(command.pid, signal.SIGINT)  # as a terminal sends it: to the command and to all that it has started
    rest, errors = command.communicate(timeout=PATIENCE_SECONDS)
    assert before[3].split()[:2] == ["first", "1"] and "endless" not in rest and "last" not in rest
    assert command.returncode == 130 and errors == "interrupted\n"
    assert not Path("/proc", (tmp_path / "log").read_text().split()[-1]).exists()


SHORT = ("model=pocket", "batch_size=6")


@pytest.mark.parametrize(("method", "steps"), [("frozen", 0), ("ewc", 4), ("zscl", 4), ("offline_merge", 4)])
def test_what_is_measured_is_two_whole_tasks(method: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[StepResult] = []
    plain = Learner.step
    monkeypatch.setattr(Learner, "step", lambda *given: taken.append(plain(*given)) or taken[-1])
    few = ["regularizer.num_samples=4", "regularizer.batch_size=2"] if method == "ewc" else []
    config = settings.config_of(*SHORT, f"method={method}", *few)
    live_through(config, factory.model(config, random=True))
    assert len(taken) == steps and not any(step.fault for step in taken)


def test_memory_is_measured_with_the_algorithms_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    monkeypatch.setattr(
        "fomo.planning.measured.live_through", lambda *given: seen.append(torch.are_deterministic_algorithms_enabled())
    )
    for exact in (True, False):
        assert peak_bytes(settings.config_of(*SHORT, f"runtime.deterministic={str(exact).lower()}")) == 7
    assert seen == [True, False]


def test_steps_that_end_early_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Learner, "step", lambda *given: StepResult(0, 0, "the loss is nan"))
    config = settings.config_of(*SHORT)
    with pytest.raises(FomoError, match="not finite: the loss is nan"):
        live_through(config, factory.model(config, random=True))


def test_a_device_that_is_not_there_is_refused_and_nothing_is_opened_on_one_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(FomoError, match=r"runtime.device=cuda:99: there is no such device here"):
        on_gpu("cuda:99")
    assert not on_gpu("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "empty", None)
    assert all(map(on_gpu, ("auto", "cuda", "cuda:1")))


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["finetune", "ewc"])
def test_the_measured_peak_is_about_the_planned_one(method: str) -> None:
    values = compose(["model=pocket", "batch_size=512", f"method={method}", "runtime.device=cuda"])
    planned = survey.count(values)["peak_memory_gib"]
    found = survey.measured(values, planned, survey.peak_on_gpu)
    assert 0.9 < found["measured_to_planned"] < 1.3, found  # of so small a model, the libraries' workspaces are a part


def test_what_is_done_apart_returns_its_value() -> None:
    assert apart(len, "four") == 4


def test_what_never_returns_is_ended() -> None:
    before = set(active_children())
    with pytest.raises(WorkerHung, match=r"nothing came in 0\.01 s"):
        apart(time.sleep, 1000, seconds=0.01)
    assert set(active_children()) == before
