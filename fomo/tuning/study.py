"""A tuning study: asked, tried, told, written, until there are as many trials as were wanted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from fomo.config.space import Space
from fomo.errors import FomoError, check_allowed
from fomo.results.config_file import differences
from fomo.results.ledger import Spent
from fomo.results.tuning import Searched, Trial, TuningStudy, Value, read_tuning
from fomo.tuning.tuner import Tuner

HOPELESS = 3
"""So many trials at the start of a study that all fail end it: as a rule, it is not the settings."""


class Try(Protocol):
    """Makes trials of different settings."""

    def __call__(self, settings: Sequence[Mapping[str, Value]]) -> list[Trial]:
        """The trials, in order."""


def begun(path: Path, searched: Searched, retry: bool = False) -> TuningStudy:
    """The study in a file, or a new one; ``retry``: without the trials that have failed.

    Raises:
        FomoError: the file holds another study.
    """
    if not path.exists():
        return TuningStudy(searched)
    study = read_tuning(path)
    changed = differences(_plain(study.searched), _plain(searched))
    if changed:
        shown = "; ".join(changed[:5]) + ("; …" if len(changed) > 5 else "")
        way_out = "Give this one a folder of its own by --study DIR, or remove that one; its runs are kept and found."
        raise FomoError(f"{path} is the study of another search ({shown}). {way_out}")
    kept = [trial for trial in study.trials if not (retry and trial.failure)]
    return replace(study, trials=tuple(kept))


def _plain(searched: Searched) -> dict[str, object]:
    return {**vars(searched), "space": dict(searched.space), "tuner": dict(searched.tuner)}


@dataclass(frozen=True)
class Tuning:
    """What a study is made with.

    Args:
        space: What is searched.
        tuner: Proposes settings; it was told nothing yet.
        attempt: Makes the trials.
        path: The file of the study.
        tried: Hears of the study with each further trial, and of the trial's number from 1.
    """

    space: Space
    tuner: Tuner
    attempt: Try
    path: Path
    tried: Callable[[TuningStudy, int], None]

    def go_on(self, study: TuningStudy, num_trials: int, at_once: int) -> TuningStudy:
        """Tell the engine what is known, then ask and try until there are ``num_trials``, ``at_once`` at the same time.

        The file is written after each time.

        Raises:
            FomoError: the engine proposes what is not in the space, all of the first trials fail, or data or base model
            are not those of the trials before.
        """
        for trial in study.trials:
            self.tuner.tell(trial.overrides, trial.value)
        while len(study.trials) < num_trials:
            self._refuse_hopeless(study)
            number = min(at_once, num_trials - len(study.trials))
            trials = self._next(study, [self._asked() for _ in range(number)])
            for trial in trials:
                self.tuner.tell(trial.overrides, trial.value)
                study = study.told([trial])
            study.write(self.path)
            for each in range(len(study.trials) - number, len(study.trials)):
                self.tried(study, each + 1)
        return study

    def _asked(self) -> dict[str, Value]:
        found = self.tuner.ask()
        check_allowed(found.keys() == self.space.keys(), f"the engine's settings {dict(found)}", ", ".join(self.space))
        return {key: each.rounded(found[key]) for key, each in self.space.items()}  # type: ignore[arg-type]

    def _next(self, study: TuningStudy, asked: Sequence[Mapping[str, Value]]) -> list[Trial]:
        """The trials of what was asked for, in order; of equal settings the runs are made once."""
        known = list(study.trials)
        new: list[Mapping[str, Value]] = []
        for each in asked:
            if each not in [*(trial.overrides for trial in known), *new]:
                new.append(each)
        made = self.attempt(new) if new else []
        _refuse_mixed([*study.trials, *made])
        trials = []
        for each in asked:
            first = next((trial for trial in known if trial.overrides == each), None)
            found = first or next(trial for trial in made if trial.overrides == each)
            trials.append(replace(found, repeats=True, spent=Spent(0)) if first else found)
            known.append(found)
        return trials

    def _refuse_hopeless(self, study: TuningStudy) -> None:
        if len(study.trials) < HOPELESS or study.best is not None:
            return
        raise FomoError(
            f"all of {len(study.trials)} trials have failed, the last one so: {study.trials[-1].failure}. As a rule, "
            "that is not for the settings that are searched. When it is mended, --retry tries them anew."
        )


def _refuse_mixed(trials: Sequence[Trial]) -> None:
    """Refuse trials that cannot be compared: the name of their data or base model stands for something else by now."""
    first: dict[str, str] = {}
    for trial in trials:
        for name, found in trial.made_with.items():
            if first.setdefault(name, found) != found:
                raise FomoError(
                    f"the {name} of {trial.runs[0]} is not that of the trials before ({first[name][:6]} → "
                    f"{found[:6]}), with which it cannot be compared. Give back what they were made with, or begin a "
                    "study of its own by --study DIR."
                )
