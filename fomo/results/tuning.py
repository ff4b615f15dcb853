"""The file of a tuning study, which ``fomo tune`` writes: what is searched, then a line for every trial."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.ledger import Spent
from fomo.results.statistics import Interval, interval
from fomo.system.checks import is_count, is_number, is_strings
from fomo.system.reading import Unreadable, parse_json, read_text
from fomo.system.writing import write_text

SCHEMA = "fomo.tuning/1"
Value = float | int | str


@dataclass(frozen=True)
class Searched:
    """What a study searches: two studies that differ in it cannot share their trials.

    ``space`` has the values of each key, as they are typed; ``overrides`` are what all trials share, ``seeds`` those
    that GM is averaged over; ``tuner`` is the configured engine; ``config_sha256`` is of the configuration at one
    point of the space.
    """

    space: Mapping[str, str]
    overrides: tuple[str, ...]
    seeds: tuple[str, ...]
    tuner: Mapping[str, Any]
    config_sha256: str


@dataclass(frozen=True)
class Trial:
    """Settings that were tried.

    Args:
        overrides: The value of each key of the space.
        gm: GM on the validation split by seed, in percent; empty where a run has failed.
        runs: The run folders, one a seed.
        spent: What these runs were charged, failed ones as far as their ledgers say; nothing where ``repeats``.
        failure: Why the settings are not feasible; empty where they are.
        repeats: Whether an earlier trial is the same, whose runs are these.
        made_with: Hashes of what all trials share by name alone, their data and base model, as far as they are known.
    """

    overrides: Mapping[str, Value]
    gm: Mapping[str, float]
    runs: tuple[str, ...]
    spent: Spent
    failure: str = ""
    repeats: bool = False
    made_with: Mapping[str, str] = field(default_factory=dict)

    @property
    def result(self) -> Interval | None:
        """Mean GM over seeds with its 95 % interval; ``None`` of settings that are not feasible."""
        return interval(list(self.gm.values())) if self.gm else None

    @property
    def value(self) -> float | None:
        """What is maximised: mean GM over seeds, in percent; ``None``: not feasible."""
        return self.result.mean if self.result else None

    @property
    def words(self) -> list[str]:
        """The settings as overrides."""
        return [f"{key}={value}" for key, value in self.overrides.items()]

    def to_json(self) -> dict[str, Any]:
        """As the file has it, ``value`` for the eye."""
        return {**asdict(self), "value": self.value, "spent": asdict(self.spent)}


@dataclass(frozen=True)
class TuningStudy:
    """The content of the file."""

    searched: Searched
    trials: tuple[Trial, ...] = field(default=())

    @property
    def best(self) -> int | None:
        """The place of the trial of the highest GM, the first of equal ones; ``None``: none is feasible."""
        values = [(trial.value, -number) for number, trial in enumerate(self.trials) if trial.value is not None]
        return -max(values)[1] if values else None

    @property
    def cost(self) -> dict[str, Any]:
        """Number of trials, of those not feasible, and of runs; what the runs were charged, ``None`` if not counted."""
        spent = [trial.spent for trial in self.trials if not trial.repeats]
        flops = [each.flops for each in spent]
        mafs = [each.mafs for each in spent]
        return {
            "trials": len(self.trials),
            "infeasible": sum(trial.value is None for trial in self.trials),
            "runs": sum(len(trial.runs) for trial in self.trials if not trial.repeats),
            "steps": sum(each.steps for each in spent),
            "flops": None if None in flops else sum(each or 0 for each in flops),
            "mafs": None if None in mafs else round(sum(each or 0.0 for each in mafs), 6),
        }

    def told(self, trials: Sequence[Trial]) -> "TuningStudy":
        """The study with further trials."""
        return replace(self, trials=(*self.trials, *trials))

    def write(self, path: Path) -> None:
        """Write the file as a whole: of trials that were made together all are in it, or none."""
        lines = [{"schema": SCHEMA, **asdict(self.searched)}, *(trial.to_json() for trial in self.trials)]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines))


def read_tuning(path: Path) -> TuningStudy:
    """The study in a file.

    Raises:
        FomoError: it is not there, or not what ``fomo tune`` writes.
    """
    lines = read_text(path).rstrip("\n").split("\n")
    values = [_line(path, number, line) for number, line in enumerate(lines, start=1)]
    if not values or not _is_searched(values[0]):
        raise FomoError(f"{path}: not the file of a tuning study of schema '{SCHEMA}'.")
    head = {key: values[0][key] for key in ("space", "tuner", "config_sha256")}
    searched = Searched(**head, overrides=tuple(values[0]["overrides"]), seeds=tuple(values[0]["seeds"]))
    for number, each in enumerate(values[1:], start=2):
        if not _is_trial(each, searched):
            raise FomoError(f"{path}, line {number}: no trial of this study.")
    return TuningStudy(searched, tuple(map(_trial, values[1:])))


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return parse_json(line)
    except Unreadable as error:
        raise FomoError(f"{path}, line {number}: {error}.") from None


def _trial(values: Mapping[str, Any]) -> Trial:
    return Trial(
        overrides=values["overrides"],
        gm=values["gm"],
        runs=tuple(values["runs"]),
        spent=Spent.read(values["spent"]),
        failure=values["failure"],
        repeats=values["repeats"],
        made_with=values.get("made_with", {}),
    )


def _is_searched(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and values.get("schema") == SCHEMA
        and isinstance(values.get("space"), dict)
        and is_strings([*values["space"].values(), values.get("config_sha256")])
        and is_strings(values.get("overrides"))
        and is_strings(values.get("seeds"))
        and isinstance(values.get("tuner"), dict)
    )


def _is_trial(values: Any, searched: Searched) -> bool:
    return (
        isinstance(values, dict)
        and isinstance(values.get("overrides"), dict)
        and values["overrides"].keys() == searched.space.keys()
        and all(isinstance(each, (int, float, str)) for each in values["overrides"].values())
        and isinstance(values.get("gm"), dict)
        and all(map(is_number, values["gm"].values()))
        and is_strings(values.get("runs"))
        and isinstance(values.get("failure"), str)
        and (list(values["gm"]) == list(searched.seeds) if not values["failure"] else not values["gm"])
        and isinstance(values.get("repeats"), bool)
        and isinstance(made_with := values.get("made_with", {}), dict)
        and is_strings(list(made_with.values()))
        and _is_spent(values.get("spent"))
    )


def _is_spent(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and is_count(values.get("steps"))
        and all(values.get(key) is None or is_number(values[key]) for key in ("flops", "mafs"))
    )
