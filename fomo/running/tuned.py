"""The study of ``fomo tune`` by which a run's settings were chosen, for its card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fomo.config.compose import compose
from fomo.config.schema import Resolved
from fomo.errors import FomoError
from fomo.results.tuning import Trial, TuningStudy, read_tuning
from fomo.system.digest import file_digest

WAY_OUT = "Take the settings that it has chosen, or leave run.tuned out (run.tuned=null)."


def tuned(resolved: Resolved) -> dict[str, Any] | None:
    """Which trial of the study ``run.tuned`` has the run's settings, and what all trials have cost.

    ``None``: no study is named.

    Raises:
        FomoError: the file is no study, or none of its trials has the run's settings.
    """
    named = resolved.config.run.tuned
    if named is None:
        return None
    path = Path(named)
    if not path.is_file():
        raise FomoError(f"run.tuned={named}: there is no such file. {WAY_OUT}")
    study = read_tuning(path)
    same = [number for number, trial in enumerate(study.trials) if _is_tried(trial, study, resolved.values)]
    if not same:
        keys = ", ".join(["the method", *study.searched.space])
        raise FomoError(f"run.tuned={named}: no trial of that study is like the run in {keys}. {WAY_OUT}")
    number = study.best if study.best in same else same[0]
    trial = study.trials[number]
    return {
        "study_sha256": file_digest(path),
        "settings": dict(trial.overrides),
        "trial": number + 1,
        "chosen": number == study.best,
        "validation_gm": trial.value,
        "seeds": list(study.searched.seeds),
        "tuner": dict(study.searched.tuner),
        **study.cost,
    }


def _is_tried(trial: Trial, study: TuningStudy, values: Mapping[str, Any]) -> bool:
    """Whether a run has the settings of a feasible trial; where a part is searched, all of that part."""
    if trial.failure:
        return False
    tried = compose([*study.searched.overrides, *trial.words])
    same_method = str(values.get("label")).split()[:1] == tried["label"].split()[:1]
    return same_method and all(_at(values, key) == _at(tried, key) for key in trial.overrides if key != "method")


def _at(values: Any, key: str) -> Any:
    """The value or section of a key."""
    for word in key.lstrip("+").split("."):
        values = values.get(word) if isinstance(values, Mapping) else None
    return values
