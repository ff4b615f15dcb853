"""Trials as ordinary runs: which ones a launcher is given, and what is read from their folders."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from fomo.config.tuning import search
from fomo.errors import FomoError
from fomo.launching import child
from fomo.launching.job import Job
from fomo.launching.launcher import Failure, SweepAudience
from fomo.running.folder import run_folder as folder_of
from fomo.system.signals import Stop
from fomo.tuning.trying import Runs
from tests import tiny
from tests.fomo.helpers import evaluation, put, run_folder
from tests.fomo.launching.stand_in import Listener


class Given:
    """A launcher that makes finished folders up; the jobs of these numbers fail before they begin."""

    def __init__(self, *fail: int, how: str = "status 2: task 1, step 3: the loss is nan") -> None:
        self.jobs: list[Job] = []
        self._fail = fail
        self._how = how

    def place(self, devices: Collection[str]) -> int:
        return 0

    def launch(self, jobs: Sequence[Job], stop: Stop, audience: SweepAudience) -> list[Failure]:
        self.jobs = list(jobs)
        for job in jobs:
            if job.number not in self._fail:
                steps = [evaluation(task, 16, 16, 4 * job.number**2) for task in range(3)]
                about = {"name": "made_up", "data_sha256": "d" * 64}
                seed = job.resolved.config.seed
                run_folder(job.folder, *steps, seed=seed, split="validation", spent=job.number, stream=about)
                card = json.loads((job.folder / "card.json").read_text())
                put(job.folder / "card.json", json.dumps({**card, "base_sha256": "e" * 64}))
        return [Failure(job, self._how) for job in jobs if job.number in self._fail]


def runs(launcher: Given, *words: str) -> Runs:
    return Runs(search([*tiny.TINY, "method=lora", *words]), launcher, Stop(), Listener())


def test_trials_are_the_runs_that_fomo_run_would_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    launcher = Given()
    first, second = runs(launcher, "seed=0,3").of([{"optimizer.lr": 1e-4}, {"optimizer.lr": 0.002}])
    alone = tiny.resolved("method=lora", "evaluation=validation", "optimizer.lr=0.002", "seed=3")
    folders = [str(job.folder) for job in launcher.jobs]
    assert folders[3] == str(folder_of(alone)) and (*first.runs, *second.runs) == tuple(folders)
    assert [job.resolved.config.seed for job in launcher.jobs] == [0, 3, 0, 3]
    assert {job.resolved.config.evaluation.split for job in launcher.jobs} == {"validation"}
    assert {"evaluation=validation", "optimizer.lr=0.0001", "seed=0"} <= set(launcher.jobs[0].command)
    assert first.gm == {"0": 8.0, "3": 16.0} and second.gm == {"0": 24.0, "3": 32.0}
    assert first.made_with == {"data": "d" * 64, "base model": "e" * 64}
    assert first.value == 12.0 and (second.spent.steps, second.spent.mafs) == (12, 7.0)


def test_a_trial_of_which_one_run_fails_is_not_feasible_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = runs(Given(2), "seed=0,3").of([{"optimizer.lr": 1e-4}, {"optimizer.lr": 0.002}])
    assert first.value is None and first.failure == "seed 3: status 2: task 1, step 3: the loss is nan"
    assert first.spent.mafs == 1.0 and second.value is not None and not second.failure


def test_scores_that_the_run_of_a_trial_did_not_write_are_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a run that was finished before the study, over which another one was copied."""
    monkeypatch.chdir(tmp_path)
    launcher = Given()
    runs(launcher).of([{"optimizer.lr": 1e-4}])
    scores = launcher.jobs[0].folder / "scores.json"
    launcher.launch = lambda jobs, stop, audience: []  # type: ignore[method-assign]
    scores.write_text(scores.read_text().replace("16", "96"))
    with pytest.raises(FomoError, match=r"scores\.json is not the one that the run wrote"):
        runs(launcher).of([{"optimizer.lr": 1e-4}])


def test_a_run_that_was_stopped_is_no_verdict_on_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    launcher = Given(2, how=child.failure(75, tmp_path / "log"))
    with pytest.raises(
        FomoError, match=r"run 2 of the trials at hand has not failed: it was asked to stop \(status 75"
    ):
        runs(launcher, "seed=0,3").of([{"optimizer.lr": 1e-4}])


def test_a_folder_for_all_has_one_for_each_run_by_its_settings(tmp_path: Path) -> None:
    launcher = Given()
    (trial,) = runs(launcher, f"run.dir={tmp_path}/all", "seed=3").of([{"optimizer.lr": 0.002}])
    assert trial.runs == (f"{tmp_path}/all/optimizer.lr=0.002,seed=3",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lrr=interval(0,1)"], "unknown key or group 'optimizer.lrr'. Did you mean 'optimizer.lr'"),
        (["trainable.rank=interval(1,8)"], "trainable.rank=1.0: an integer is expected"),
        (["merging=ema", "merging.weight=interval(0,2)"], "2.0"),
        (["merging=ema", "merging.technique=ties,dair"], "dair"),
        (["trainable=lora,vra"], "unknown option of trainable 'vra'"),
        (["max_grad_norm=interval(0,8)"], "max_grad_norm=0.0"),
    ],
)
def test_the_ends_of_the_space_are_checked_before_the_first_trial(words: list[str], said: str) -> None:
    launcher = Given()
    with pytest.raises(FomoError) as error:
        runs(launcher, *words).check()
    assert said in str(error.value) and not launcher.jobs


def test_the_configuration_of_a_study_is_told_by_a_hash() -> None:
    same = runs(Given()).check()
    assert same == runs(Given(), "seed=0,5").check() != runs(Given(), "max_grad_norm=2").check()
