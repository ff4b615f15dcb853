"""What a study has chosen: as a command, and as settings that a sweep takes."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from fomo.config.sweeping import TUNED
from fomo.config.tuning import COMMON
from fomo.errors import FomoError
from fomo.report.trials import page
from fomo.results.layout import SETTINGS, STUDY, TRIALS
from fomo.results.tuning import TuningStudy
from fomo.system.writing import write_text

ELSEWHERE = (*COMMON, "model", "method")
"""Keys of what all trials share that are no settings of the method: they say what it is tried on."""
AGAIN = ("evaluation", "evaluation.split", "run.dir", "run.tuned", "resume")
"""Those that a run of the chosen settings has of its own."""


def method_of(overrides: Sequence[str]) -> str:
    """The method that all trials share."""
    chosen = [each.partition("=")[2] for each in overrides if each.startswith("method=")]
    return chosen[-1] if chosen else "finetune"


def check_writable_settings(folder: Path, overrides: Sequence[str]) -> None:
    """Refuse what cannot stand in a file of settings, whose words are parted by blanks.

    Raises:
        FomoError: a word that has a blank in it.
    """
    for each in [*_shared(overrides), str(folder)]:
        if re.search(r"\s", each):
            raise FomoError(f"'{each}': settings of a study are words with blanks between them. Write it without one.")


def _shared(overrides: Sequence[str]) -> list[str]:
    """The settings of the method among what all trials share."""
    return [each for each in overrides if each.lstrip("+~").split("=")[0].split(".")[0] not in ELSEWHERE]


def command(folder: Path, study: TuningStudy) -> str:
    """What runs the best settings on what they were tried on, and scores it on the test split."""
    kept = [each for each in study.searched.overrides if each.lstrip("+~").split("=")[0] not in AGAIN]
    return shlex.join(["fomo", "run", *kept, *_best(study), f"{TUNED}={folder / STUDY}"])


def settings(folder: Path, study: TuningStudy) -> str:
    """The best settings of the method in YAML, as a study has them."""
    words = [*_shared(study.searched.overrides), *_best(study), f"{TUNED}={folder / STUDY}"]
    chosen = next((each for each in _best(study) if each.startswith("method=")), None)
    method = chosen.partition("=")[2] if chosen else method_of(study.searched.overrides)
    listed = " ".join(each for each in words if not each.startswith("method="))
    return yaml.safe_dump({"settings": {method: [listed]}}, width=10_000)


def _best(study: TuningStudy) -> list[str]:
    """The best settings.

    Raises:
        FomoError: none are feasible.
    """
    if study.best is None:
        raise FomoError(f"none of {len(study.trials)} trials is feasible, so there is nothing to choose.")
    return study.trials[study.best].words


def write_chosen(folder: Path, study: TuningStudy) -> None:
    """Write the settings, and the page of all trials."""
    chosen = settings(folder, study)
    write_text(folder / SETTINGS, chosen)
    write_text(folder / TRIALS, page(study, command(folder, study), chosen.splitlines()))
