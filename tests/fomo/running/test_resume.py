"""A run that is cut short anywhere and goes on is the run that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from fomo.checkpoint.files import latest, numbered, read_identity
from fomo.errors import FomoError, Stopped
from fomo.model.clip import ClipModel
from fomo.model.shipped import pocket
from fomo.results.layout import CHECKPOINTS, WEIGHTS
from fomo.running.folder import state_of
from fomo.running.resume import kept_steps, refuse_other
from fomo.running.run import execute, prepare
from fomo.system.lock import check_free
from fomo.system.signals import Stop
from fomo.version import SCORE_VERSION
from tests import tiny
from tests.faults.command import fomo_run, wait_for
from tests.faults.compare import differences, events, left_out
from tests.flawed import FLAWED, install
from tests.fomo import tars
from tests.fomo.data.test_tar_samples import Content
from tests.fomo.helpers import encoded, picture, put, status
from tests.waiting import PATIENCE_SECONDS

OFTEN = "checkpoint.every_steps=1"


class Cut(Exception):
    """The end of a process, as far as the run can tell: nothing of it is executed any more."""


class Cutting(tiny.Silent):
    """Cuts the run at the ``number``-th thing that progress is told."""

    def __init__(self, number: int) -> None:
        self.left = number

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cut

    def step(self, task: int, step: int, loss: float) -> None:
        self._count()

    def evaluating(self, task: int, dataset: str) -> None:
        self._count()


def cut_run(folder: Path, at: list[int], *overrides: str) -> int:
    """Cut the run at each of ``at``, counted anew after each, then let it end; how often it was cut."""
    cuts = 0
    for number in at:
        try:
            execute(tiny.prepared(*overrides), folder, Cutting(number))
        except Cut:
            cuts += 1
    tiny.run(folder, *overrides)
    return cuts


@pytest.fixture(scope="module")
def whole_on(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run on a device, made once."""
    return cache(lambda device: tiny.run(tmp_path_factory.mktemp(device) / "run", f"runtime.device={device}"))


@pytest.fixture
def whole(whole_on: Callable[[str], Path]) -> Path:
    return whole_on("cpu")


@pytest.mark.parametrize("at", [[1], [5], [7], [4, 3, 3, 2, 2], [2, 1]])
def test_a_run_that_was_cut_is_the_run_that_was_not(
    at: list[int], device: str, whole_on: Callable[[str], Path], tmp_path: Path
) -> None:
    assert cut_run(tmp_path / "run", at, OFTEN, f"runtime.device={device}") == len(at)
    (stage,) = json.loads((tmp_path / "run" / "card.json").read_text())["compute"]["stages"]
    (expected,) = json.loads((whole_on(device) / "card.json").read_text())["compute"]["stages"]
    assert stage["steps"] == expected["steps"] == 6 and stage["tasks"] == [1, 2]
    assert differences(whole_on(device), tmp_path / "run") == []


OTHERS = [
    ("method=offline_merge",),
    ("regularizer=[ewc,si]", "regularizer.ewc.num_samples=60"),
    ("method=lora_ema", "trainable.rank=2", "trainable.placement=all", "model=pocket"),
    ("optimizer=galore", *tiny.COUNTED, "budget.total_mafs=60"),
    ("optimizer=mkor", "optimizer.update_every=2", "optimizer.min_fall=0.1", "optimizer.window=2", "activations=fp8"),
    ("optimizer=adamw_fp8", "regularizer=conadv", "activations=fp8"),
    ("modulation=agvm", "modulation.every=2", "regularizer=[si,mclrec]"),
    ("evaluation.subset=protocol",),
    ("method=frozen",),
]


@pytest.mark.parametrize("overrides", OTHERS, ids="-".join)
def test_so_it_is_with_state_of_every_kind(
    overrides: tuple[str, ...], device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Experts in files, importances, folded adapters, known costs, a path on half of the test images, no optimizer."""
    monkeypatch.setattr("fomo.evaluation.subset.SMALLEST", 20)
    overrides = (*overrides, f"runtime.device={device}")
    whole = tiny.run(tmp_path / "whole", *overrides)
    assert cut_run(tmp_path / "run", [6, 3, 3], *overrides, OFTEN) >= 2
    assert differences(whole, tmp_path / "run") == []


def dropped(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """Half of what a block gives, by torch's own generator."""
    return F.dropout(output, 0.5, module.training)


def dropping_model(name: str) -> ClipModel:
    """A base model with dropout, which some towers of open_clip have as stochastic depth."""
    model = pocket(name)
    model.network.ln_final.register_forward_hook(dropped)
    return model


def test_dropout_is_a_function_of_seed_and_position(device: str, tmp_path: Path) -> None:
    """EWC, for its pass over the data at the end of a task."""
    model = (f"model._target_={__name__}.dropping_model", f"runtime.allow_targets=[{__name__.partition('.')[0]}]")
    overrides = ("method=ewc", "regularizer.num_samples=60", f"runtime.device={device}", *model)
    whole = tiny.run(tmp_path / "whole", *overrides)
    torch.manual_seed(1)  # another process has another past
    assert cut_run(tmp_path / "run", [6, 3], *overrides, OFTEN) == 2
    assert differences(whole, tmp_path / "run") == []
    assert "events.jsonl" in differences(whole, tiny.run(tmp_path / "other", *overrides, "seed=1"))


def test_what_was_left_out_before_the_cut_is_counted(tmp_path: Path) -> None:
    """The broken picture comes once, in the first batch."""
    members: list[Content] = [("bad.png", b"x"), ("bad.txt", b"x")]
    for number in range(120):
        members += [(f"{number}.png", encoded(picture(number))), (f"{number}.txt", b"text %d" % number)]
    pool = (f"stream.pool=[{tars.tar(tmp_path / 'pool.tar', members)}]", "stream.pool_window=1")
    whole = tiny.run(tmp_path / "whole", *pool)
    assert left_out(whole) == {"broken": 1}
    assert cut_run(tmp_path / "run", [6], *pool, OFTEN, "runtime.num_workers=2") == 1
    assert differences(whole, tmp_path / "run") == []


@pytest.mark.parametrize("method", [("method=offline_merge",), ("budget=wall_seconds", "budget.wall_seconds=1")])
def test_a_folder_that_was_copied_goes_on_as_the_original(
    method: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Experts lie in it, not where it was; seconds were timed, and are what was planned then."""
    monkeypatch.setattr("fomo.planning.planner._timed", lambda *given: 0.1)
    overrides = (*method, *(("budget.steps=null",) if "budget" in method[0] else ()), OFTEN)
    folder, copied = tmp_path / "run", tmp_path / "elsewhere" / "copied"
    with pytest.raises(Cut):
        execute(tiny.prepared(*overrides), folder, Cutting(8))
    shutil.copytree(folder, copied)
    ended = prepare(tiny.resolved(*overrides), kept_steps(folder))
    execute(ended, folder, tiny.Silent())
    shutil.move(folder, tmp_path / "original")
    for number in (2, 3):
        with pytest.raises(Cut):
            execute(prepare(tiny.resolved(*overrides), kept_steps(copied)), copied, Cutting(number))
    execute(prepare(tiny.resolved(*overrides), kept_steps(copied)), copied, tiny.Silent())
    assert differences(tmp_path / "original", copied) == []


def test_seconds_are_timed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on where a step takes twice as long."""
    monkeypatch.setattr("fomo.planning.planner._timed", lambda *given: 0.1)
    overrides = ("budget=wall_seconds", "budget.steps=null", "budget.wall_seconds=1", OFTEN)
    with pytest.raises(Cut):
        execute(tiny.prepared(*overrides), tmp_path / "run", Cutting(6))
    steps = kept_steps(tmp_path / "run")
    assert steps is not None
    monkeypatch.setattr("fomo.planning.planner._timed", lambda *given: 0.2)
    prepared = prepare(tiny.resolved(*overrides), steps)
    assert prepared.plan.steps == steps
    execute(prepared, tmp_path / "run", tiny.Silent())
    assert len([e for e in events(tmp_path / "run") if e["event"] == "step"]) == sum(steps)


def cut_folder(folder: Path, at: int = 6, *overrides: str) -> Path:
    """A run that was cut after some steps."""
    with pytest.raises(Cut):
        execute(tiny.prepared(OFTEN, *overrides), folder, Cutting(at))
    return folder


def test_it_goes_on_from_the_last_step_that_was_saved(tmp_path: Path) -> None:
    folder = tiny.run(cut_folder(tmp_path / "run"), OFTEN)
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    (resumed,) = [line for line in lines if line["event"] == "resume"]
    assert resumed["task"] == 1 and resumed["steps"] >= 1
    assert not numbered(folder / CHECKPOINTS) and (folder / WEIGHTS).is_file()


def test_a_damaged_newest_checkpoint_costs_some_steps_and_changes_nothing(whole: Path, tmp_path: Path) -> None:
    folder = cut_folder(tmp_path / "run")
    newest = max(numbered(folder / CHECKPOINTS).values())
    (newest / "tensors.safetensors").write_bytes(b"spoilt")
    tiny.run(folder, OFTEN)
    assert differences(whole, folder) == []


def torn_events(folder: Path) -> None:
    """A last line that was being written."""
    events_file = folder / "events.jsonl"
    events_file.write_bytes(events_file.read_bytes() + b'{"event": "st')


def short_events(folder: Path) -> None:
    """The newest checkpoint knows more."""
    events_file = folder / "events.jsonl"
    events_file.write_bytes(events_file.read_bytes()[:-1])


def all_damaged(folder: Path) -> None:
    for place in numbered(folder / CHECKPOINTS).values():
        (place / "state.json").write_bytes(b"")


@pytest.mark.parametrize("spoil", [torn_events, short_events, all_damaged])
def test_what_a_crash_can_leave_behind_changes_nothing(
    spoil: Callable[[Path], None], whole: Path, tmp_path: Path
) -> None:
    folder = cut_folder(tmp_path / "run")
    spoil(folder)
    tiny.run(folder, OFTEN)
    assert differences(whole, folder) == []


def test_a_folder_that_was_barely_begun_is_new(whole: Path, tmp_path: Path) -> None:
    for name in (".lock", ".config.yaml.partial"):
        put(tmp_path / "run" / name, "seed")
    tiny.run(tmp_path / "run", "resume=never")
    assert differences(whole, tmp_path / "run") == []
    assert not (tmp_path / "run" / ".config.yaml.partial").exists()


def test_a_finished_run_that_was_killed_while_it_tidied_up_is_tidied(tmp_path: Path) -> None:
    folder = tiny.run(tmp_path / "run")
    put(folder / CHECKPOINTS / "000004" / "tensors.safetensors", "half of it")
    assert status("run", *tiny.TINY, f"run.dir={folder}") == 0
    assert not numbered(folder / CHECKPOINTS) and (folder / WEIGHTS).is_file()


def test_the_checkpoint_of_another_run_is_refused_with_the_difference(tmp_path: Path) -> None:
    folder, other = cut_folder(tmp_path / "run"), cut_folder(tmp_path / "other", 6, "seed=1")
    shutil.rmtree(folder / CHECKPOINTS)
    shutil.copytree(other / CHECKPOINTS, folder / CHECKPOINTS)
    shutil.copy(other / "events.jsonl", folder / "events.jsonl")
    with pytest.raises(FomoError, match=r"checkpoint of another run \(config\.seed: 1 → 0"):
        tiny.run(folder, OFTEN)
    saved = latest(other / CHECKPOINTS, other / "events.jsonl")
    assert saved is not None
    identity = tiny.prepared("seed=1").identity
    refuse_other(saved, identity)
    for key, change in (("contents", {"data": "0"}), ("code", {"major version": "9"}), ("plan", {"steps": [1]})):
        with pytest.raises(FomoError, match=rf"{key}\."):
            refuse_other(saved, identity | {key: {**identity[key], **change}})


@pytest.mark.parametrize(
    ("number", "status", "workers"), [(signal.SIGTERM, 75, 0), (signal.SIGUSR1, 75, 2), (signal.SIGINT, 130, 2)]
)
def test_a_signal_saves_says_so_and_the_same_command_goes_on(
    number: signal.Signals, status: int, workers: int, tmp_path: Path
) -> None:
    """Enough steps that the signal, to the whole group as terminals and schedulers send it, comes in the midst."""
    overrides = ("budget.steps=400", f"runtime.num_workers={workers}", "stream.retention=[pocket_counting]")
    folder = tmp_path / "run"
    process, file = fomo_run(folder, *overrides), folder / "events.jsonl"
    wait_for(lambda: file.exists() and file.read_text().count('"step"') >= 2, process)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == status, errors
    assert f"stopped by {number.name}: saved in {folder}" in errors and "task 1 after" in errors
    assert "The same command goes on.\n  fomo run " in errors and "Traceback" not in errors
    last = max(numbered(folder / CHECKPOINTS).values())
    assert read_identity(last)["config"]["seed"] == 0


def test_an_evaluation_is_abandoned_at_once(tmp_path: Path) -> None:
    """The signal comes while the model is scored: nothing of the evaluation is kept, and it is made again."""
    stop = Stop()

    class Terminator(tiny.Silent):
        def evaluating(self, task: int, dataset: str) -> None:
            if task == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    with stop.listening(), pytest.raises(Stopped, match=r"task 1 after 3 steps") as stopped:
        execute(tiny.prepared(), tmp_path / "run", Terminator(), stop)
    assert stopped.value.status == 75
    assert len(json.loads((tmp_path / "run" / "scores.json").read_text())["evaluations"]) == 1
    assert differences(tiny.run(tmp_path / "whole"), tiny.run(tmp_path / "run")) == []


def test_a_second_process_on_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = fomo_run(folder, "budget.steps=4000")
    wait_for(lambda: (folder / "events.jsonl").exists(), first)
    second = fomo_run(folder, "budget.steps=4000")
    _, errors = second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 2 and f"in use by process {first.pid} on " in errors
    first.kill()
    first.communicate()
    check_free(folder)  # the lock is gone with its holder


def test_a_run_that_is_held_and_let_go_is_the_run_that_was_not(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP, as schedulers and laptops do it; its folder is not free meanwhile. In its fifth step it stops itself."""
    install(tmp_path / "part", monkeypatch)
    overrides, folder = (*FLAWED, f"runtime.device={device}", OFTEN), tmp_path / "run"
    process = fomo_run(folder, *overrides, FLAW="SIGSTOP -1 5")
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1]), process.communicate()
    assert numbered(folder / CHECKPOINTS)
    with pytest.raises(FomoError, match="in use by process"):
        check_free(folder)
    os.killpg(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    assert differences(tiny.run(tmp_path / "whole", *overrides), folder) == []


def test_must_and_never(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"resume=must: .*no checkpoint"):
        tiny.run(tmp_path / "run", "resume=must")
    folder = cut_folder(tmp_path / "run")
    with pytest.raises(FomoError, match=r"resume=never: .*not empty"):
        tiny.run(folder, "resume=never")
    tiny.run(folder, "resume=must")
    assert (folder / "card.json").exists()
    with pytest.raises(FomoError, match=r"resume=never: .*not empty"):
        state_of(folder, tiny.resolved("resume=never"))
    with pytest.raises(FomoError, match=r"resume 'mst'\. Did you mean 'must'"):
        tiny.resolved("resume=mst")


def test_a_run_of_other_scores_is_not_gone_on_with(tmp_path: Path) -> None:
    values = {key: value for key, value in tiny.resolved().values.items() if key != "score_version"}
    put(tmp_path / "run" / "config.yaml", yaml.safe_dump(values))
    with pytest.raises(FomoError, match=rf"run.dir=.*score version 1\.0, and this is {SCORE_VERSION}.*another run.dir"):
        state_of(tmp_path / "run", tiny.resolved())


def test_when_to_save_makes_no_other_experiment() -> None:
    assert tiny.resolved(OFTEN, "resume=must").sha256 == tiny.resolved().sha256


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint_whole(whole: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the network alone fits, not the optimizer too."""
    folder, limit = tmp_path / "run", 8 * 2**20
    code = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({limit}, {limit})); from fomo.cli import main; main()"
    command = [sys.executable, "-c", code, "run", *tiny.TINY, OFTEN, f"run.dir={folder}"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert process.returncode == 2, process.stderr
    assert "could not be written" in process.stderr and f"{folder}/checkpoint/000001 is whole" in process.stderr
    assert [path.name for path in (folder / CHECKPOINTS).iterdir()] == ["000001"]
    assert differences(whole, tiny.run(folder, OFTEN)) == []
