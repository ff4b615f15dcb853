"""What was run, in a few lines: the settings that differ from those of a plain ``fomo run``, or between runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from fomo.results.config_file import comparable

DEFAULTS = "defaults.yaml"
"""What ``fomo run`` composes when nothing is asked of it, as ``python -m docs.tables`` writes it."""
LONGEST = 60
"""Characters of a value; longer ones are cut."""
NONE = "–"
TRAINABLE = "methods.trainable.Trainable"
"""Trains parameters of the model itself, of which it says what."""
FACTS = {
    "model.name": "model",
    "stream.name": "stream",
    "stream.ordering": "order",
    "num_tasks": "tasks",
    "trainable._target_": "trainable",
    "trainable.what": "trained",
    "regularizer._target_": "regulariser",
    "merging._target_": "merging",
    "diagnostics._target_": "diagnostics",
    "optimizer._target_": "optimizer",
    "optimizer.lr": "learning rate",
    "schedule._target_": "schedule",
    "meta_schedule._target_": "meta schedule",
    "batch_size": "batch size",
    "runtime.precision": "precision",
}
"""What is said of every run, and how it is called."""
TARGET = "._target_"


@dataclass(frozen=True)
class Setting:
    """A key, what a plain ``fomo run`` has for it, and what each run has."""

    key: str
    default: str
    values: tuple[str, ...]


def facts(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is said of a run whether it was changed or not, as far as its configuration has it."""
    values = flat(config)
    known = {key: name for key, name in FACTS.items() if values.get(key) not in (None, TRAINABLE)}
    return [(name, shown(values, key)) for key, name in known.items()]


@cache
def defaults() -> Mapping[str, Any]:
    """The configuration of a plain ``fomo run``."""
    values: dict[str, Any] = yaml.safe_load(files("fomo.report").joinpath(DEFAULTS).read_text(encoding="utf-8"))
    return values


def changed(configs: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """The settings in which some run differs from the defaults, those between runs first; none that changes no result.

    A key that all of them lack, as those of an older version do, is none.
    """
    plain = flat(defaults())
    each = list(map(flat, configs))
    keys = dict.fromkeys(key for config in configs for key in flat(comparable(config)))
    found = [
        Setting(key.removesuffix(TARGET), shown(plain, key), tuple(shown(values, key) for values in each))
        for key in keys
        if _differs(plain.get(key, NONE), [values.get(key, NONE) for values in each])
    ]
    return sorted(found, key=lambda setting: len(set(setting.values)) == 1)


def _differs(default: Any, values: Sequence[Any]) -> bool:
    """Whether a setting is worth saying; what ``auto`` means on a machine is only where it is not the same for all."""
    return any(value != values[0] for value in values) or (values[0] != default != "auto")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, its keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def shown(values: Mapping[str, Any], key: str) -> str:
    """A value in few characters: of a list its first entries and their number; a dash where there is none."""
    if key not in values:
        return NONE
    value = values[key]
    if key.endswith(TARGET):
        return "none" if value == "fomo.Method" else str(value).rpartition(".")[2]
    words = f"{len(value)}: {', '.join(map(str, value))}" if isinstance(value, list) and value else _plain(value)
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
