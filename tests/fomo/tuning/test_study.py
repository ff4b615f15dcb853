"""The loop of a study, over trials that are made up: what is asked, told, written, and gone on with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fomo.config.space import Choice, Interval, Space
from fomo.errors import FomoError, Stopped
from fomo.results.ledger import Spent
from fomo.results.tuning import Searched, Trial, TuningStudy, Value, read_tuning
from fomo.tuning.chosen import check_writable_settings, command, settings, write_chosen
from fomo.tuning.study import Tuning, begun
from tests.fomo.helpers import put

SPACE: Space = {"optimizer.lr": Interval(0, 1), "trainable": Choice(("lora", "dora"))}
SEARCHED = Searched(
    {key: str(each) for key, each in SPACE.items()},
    ("method=lora", "stream.pool_size=500", "batch_size=64", "evaluation=validation", "evaluation.subset=none"),
    ("0", "1"),
    {"_target_": "fomo.tuning.by_optuna.Optuna", "seed": 0},
    "0" * 64,
)


class Steps:
    """Proposes 0.1, 0.2, …, by how many trials it knows of; remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Mapping[str, Value], float | None]] = []
        self.asked = 0

    def ask(self) -> Mapping[str, Value]:
        self.asked += 1
        return {"optimizer.lr": (len(self.told) + self.asked) / 10, "trainable": "lora"}

    def tell(self, overrides: Mapping[str, Value], value: float | None) -> None:
        self.told.append((overrides, value))
        self.asked = max(0, self.asked - 1)


class Trials:
    """Makes trials up: GM is 50 and ten times the rate, a point apart for two seeds; rates above ``most`` fail."""

    def __init__(self, most: float = 1.0, stop_at: int = 10**6) -> None:
        self.tried: list[list[Mapping[str, Value]]] = []
        self._most = most
        self._stop_at = stop_at

    def __call__(self, settings: Sequence[Mapping[str, Value]]) -> list[Trial]:
        if len(self.tried) == self._stop_at:
            raise Stopped("SIGTERM", 75)
        self.tried.append(list(settings))
        return [self._trial(each) for each in settings]

    def _trial(self, overrides: Mapping[str, Value]) -> Trial:
        rate = float(overrides["optimizer.lr"])
        failed = rate > self._most
        gm = {} if failed else {"0": 50 + 10 * rate, "1": 51 + 10 * rate}
        runs = (f"runs/{rate}-0", f"runs/{rate}-1")
        return Trial(overrides, gm, runs, Spent(12, 24 * 10**9, 3.5), "seed 1: a NaN" if failed else "")


def tuned(
    path: Path,
    num: int,
    at_once: int = 1,
    tuner: Steps | None = None,
    trials: Trials | None = None,
    retry: bool = False,
) -> TuningStudy:
    tuning = Tuning(SPACE, tuner or Steps(), trials or Trials(), path, lambda study, number: None)
    return tuning.go_on(begun(path, SEARCHED, retry), num, at_once)


def test_a_study_is_what_was_tried_and_its_file_says_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "study.jsonl"
    study = tuned(path, 4, trials=Trials(most=0.35))
    assert read_tuning(path) == study and study.searched == SEARCHED
    assert [trial.value for trial in study.trials] == [51.5, 52.5, 53.5, None] and study.best == 2
    assert study.trials[3].failure == "seed 1: a NaN" and study.trials[3].result is None
    result = study.trials[0].result
    assert result is not None and result.half_width == pytest.approx(12.706 * 0.5, rel=1e-3)
    assert study.cost == {"trials": 4, "infeasible": 1, "runs": 8, "steps": 48, "flops": 96 * 10**9, "mafs": 14.0}


def test_a_stopped_study_asks_next_what_it_would_have_asked(tmp_path: Path) -> None:
    whole = tuned(tmp_path / "whole.jsonl", 6, at_once=2)
    with pytest.raises(Stopped):
        tuned(tmp_path / "part.jsonl", 6, at_once=2, trials=Trials(stop_at=2))
    kept = read_tuning(tmp_path / "part.jsonl")
    assert kept.trials == whole.trials[:4]
    engine = Steps()
    later = Trials()
    assert tuned(tmp_path / "part.jsonl", 6, at_once=2, tuner=engine, trials=later) == whole
    assert engine.told == [(trial.overrides, trial.value) for trial in whole.trials] and len(later.tried) == 1
    assert (tmp_path / "part.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_more_trials_go_on_and_fewer_are_there_already(tmp_path: Path) -> None:
    three = tuned(tmp_path / "study.jsonl", 3)
    five = tuned(tmp_path / "study.jsonl", 5)
    assert five.trials[:3] == three.trials and len(five.trials) == 5
    nothing = Trials()
    assert tuned(tmp_path / "study.jsonl", 2, trials=nothing) == five and not nothing.tried


class Same(Steps):
    """Always proposes the same."""

    def ask(self) -> Mapping[str, Value]:
        return {"optimizer.lr": 0.5, "trainable": "dora"}


def test_the_same_settings_are_run_once_and_counted_once(tmp_path: Path) -> None:
    trials = Trials()
    study = tuned(tmp_path / "study.jsonl", 4, at_once=2, tuner=Same(), trials=trials)
    assert len(trials.tried) == 1 and [trial.repeats for trial in study.trials] == [False, True, True, True]
    assert {trial.value for trial in study.trials} == {55.5} and study.best == 0
    assert (study.cost["trials"], study.cost["runs"], study.cost["steps"]) == (4, 2, 12)
    assert read_tuning(tmp_path / "study.jsonl") == study


class Elsewhere(Trials):
    """Trials that were made with other data."""

    def _trial(self, overrides: Mapping[str, Value]) -> Trial:
        return replace(super()._trial(overrides), made_with={"data": "b" * 64, "base model": "c" * 64})


def test_trials_on_other_data_do_not_stand_beside_those_before(tmp_path: Path) -> None:
    """As where a dataset was imported anew under its name; of what an older study does not say nothing is known."""
    path = tmp_path / "study.jsonl"
    tuned(path, 1)
    study = tuned(path, 2, trials=Elsewhere())
    lines = path.read_text()
    path.write_text(lines.replace("b" * 64, "a" * 64))
    with pytest.raises(FomoError, match=r"data of runs/0\.3-0 is not that of the trials before \(aaaaaa → bbbbbb\)"):
        tuned(path, 3, trials=Elsewhere())
    assert len(read_tuning(path).trials) == 2, "nothing of it is kept"
    path.write_text(lines)
    assert len(tuned(path, 3, trials=Elsewhere()).trials) == 3 and study.trials[1].made_with["data"] == "b" * 64


def test_where_all_of_the_first_fail_no_more_are_tried(tmp_path: Path) -> None:
    trials = Trials(most=0.0)
    with pytest.raises(FomoError, match=r"all of 3 trials have failed, the last one so: seed 1: a NaN.*--retry"):
        tuned(tmp_path / "study.jsonl", 9, trials=trials)
    assert len(trials.tried) == 3
    mended = tuned(tmp_path / "study.jsonl", 3, retry=True)
    assert len(mended.trials) == 3 and mended.best == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": {"optimizer.lr": "interval(0.0,2.0)"}}, r"space.optimizer.lr: interval\(0.0,1.0\) → interval"),
        ({"seeds": ("0",)}, r"seeds: \('0', '1'\) → \('0',\)"),
        ({"tuner": {**SEARCHED.tuner, "seed": 1}}, "tuner.seed: 0 → 1"),
        ({"config_sha256": "1" * 64}, "config_sha256"),
    ],
)
def test_the_study_of_another_search_is_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    tuned(tmp_path / "study.jsonl", 1)
    with pytest.raises(FomoError, match=rf"is the study of another search \(.*{said}.*--study DIR"):
        begun(tmp_path / "study.jsonl", replace(SEARCHED, **change))  # type: ignore[arg-type]


def test_an_engine_that_leaves_a_key_out_is_refused(tmp_path: Path) -> None:
    class Short(Steps):
        def ask(self) -> Mapping[str, Value]:
            return {"optimizer.lr": 0.5}

    with pytest.raises(FomoError, match=r"the engine's settings .*: allowed are optimizer.lr, trainable"):
        tuned(tmp_path / "study.jsonl", 1, tuner=Short())


def test_what_is_chosen_is_a_command_and_settings_of_a_study(tmp_path: Path) -> None:
    folder = tmp_path / "lora"
    study = tuned(folder / "study.jsonl", 3, trials=Trials(most=0.25))
    chosen = f"optimizer.lr=0.2 trainable=lora run.tuned={folder}/study.jsonl"
    assert settings(folder, study) == f"settings:\n  lora:\n  - batch_size=64 {chosen}\n"
    assert (
        command(folder, study)
        == f"fomo run method=lora stream.pool_size=500 batch_size=64 evaluation.subset=none {chosen}"
    )
    write_chosen(folder, study)
    page = (folder / "trials.md").read_text()
    assert "| 2 | 0.2 | lora | 52.50 ± 6.35 | 52.0 | 53.0 | ✓ |" in page
    assert "| 3 | 0.3 | lora | infeasible | – | – |  |" in page and "- trial 3: seed 1: a NaN" in page
    assert "3 trials (1 infeasible), 6 runs, 36 steps, 10.5 MAFs (GFLOPs)" in page and "settings:" in page


def test_words_with_blanks_cannot_be_settings() -> None:
    with pytest.raises(FomoError, match="Write it without one"):
        check_writable_settings(Path("runs"), ["method=lora", "augmentation.scale=[0.5, 1.0]"])
    check_writable_settings(Path("runs"), ["method=lora", "stream.adaptation=[a, b]"])


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"schema": "fomo.tuning/1"}', "nothing"])
def test_what_is_no_study_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"study.jsonl(, line 1)?: "):
        read_tuning(put(tmp_path / "study.jsonl", line))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"gm": {"0"', '"gm": {"5"'),
        ('"failure": ""', '"failure": "x"'),
        ("51.0", "-51.0"),
        ('"lr"', '"rl"'),
        ("12", '"a"'),
    ],
)
def test_a_line_that_is_no_trial_of_the_study_is_refused(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    tuned(path, 1)
    head, trial = path.read_text().splitlines()
    old, new = (each.replace('"lr"', '"optimizer.lr"') for each in (old, new))
    assert old in trial
    path.write_text("\n".join([head, trial.replace(old, new), ""]))
    with pytest.raises(FomoError, match="line 2: no trial of this study"):
        read_tuning(path)
