"""``fomo tune`` put together: everything is checked before the first trial."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fomo.config import factory
from fomo.config.tuning import Search, search
from fomo.launching.launcher import SweepAudience
from fomo.report.trials import cost_line, result
from fomo.results.layout import STUDY
from fomo.results.tuning import Searched, TuningStudy
from fomo.system.lock import locked
from fomo.system.signals import Stop
from fomo.tuning.chosen import check_writable_settings, method_of
from fomo.tuning.study import Tuning, begun
from fomo.tuning.trying import Runs

FOLDER = Path("runs/tuning")


class Wanted(Protocol):
    """What is wanted of a study: how many trials in all and at the same time, where, and whether failed ones anew."""

    trials: int
    at_once: int
    study: Path | None
    retry: bool


def tune(
    wanted: Wanted, overrides: Sequence[str], launcher: Mapping[str, Any], audience: SweepAudience, stop: Stop
) -> tuple[Path, TuningStudy]:
    """Make a study, or go on with it, until it has as many trials as are wanted; its folder, and the study.

    Args:
        wanted: How many trials, and where the study lies.
        overrides: What is searched, and what all trials share.
        launcher: What starts the runs, as a configured part.
        audience: Hears of it.
        stop: Whether to stop.

    Raises:
        FomoError: something is refused, before the first trial; or all trials fail.
        Stopped: it was asked to stop; the same command goes on.
    """
    asked = search(overrides)
    folder = wanted.study or FOLDER / method_of(asked.overrides)
    check_writable_settings(folder, asked.overrides)
    tuner = factory.build("tuner", asked.tuner, space=asked.space)
    runs = Runs(asked, factory.build("launcher", launcher), stop, audience)
    with audience.busy("checking what is searched"):
        searched = _searched(asked, runs.check())

    def tried(so_far: TuningStudy, number: int) -> None:
        audience.say(_line(so_far, number, wanted.trials))

    begun(folder / STUDY, searched)  # another study is refused before anything is written
    with locked(folder, "--study"):
        study = begun(folder / STUDY, searched, wanted.retry)  # another process may have gone on with it meanwhile
        if study.trials:
            audience.say(f"{folder / STUDY} has {cost_line(study.cost)}: going on.")
        tuning = Tuning(asked.space, tuner, runs.of, folder / STUDY, tried)
        return folder, tuning.go_on(study, wanted.trials, wanted.at_once)


def _searched(asked: Search, config_sha256: str) -> Searched:
    space = {key: str(each) for key, each in asked.space.items()}
    return Searched(space, asked.overrides, asked.seeds, asked.tuner, config_sha256)


def _line(study: TuningStudy, number: int, num_trials: int) -> str:
    """How far a study is: ``trial 3 of 25: optimizer.lr=0.001: GM 55.12 ± 0.3; best: trial 2, GM 56.10``."""
    trial = study.trials[number - 1]
    best = "" if study.best is None else f"; best: trial {study.best + 1}, GM {result(study.trials[study.best])}"
    again = ", as a trial before" if trial.repeats else ""
    found = f"GM {result(trial)}{again}" if trial.result else f"infeasible ({trial.failure})"
    return f"trial {number} of {num_trials}: {' '.join(trial.words)}: {found}{best}"
