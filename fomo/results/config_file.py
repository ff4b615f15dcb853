"""``config.yaml``: the resolved configuration of a run, as plain values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import CONFIG
from fomo.system.digest import json_digest
from fomo.system.reading import read_yaml
from fomo.version import SCORE_VERSION

UNCOMPARED = ("run", "label", "resume", "checkpoint", "keep_weights", "log")
UNCOMPARED_RUNTIME = ("device", "strategy", "num_workers", "worker_timeout", "image_cache_gb", "allow_targets")
"""Keys, and keys of ``runtime``, that change no result."""
LATER_GROUPS = ("diagnostics", "activations", "modulation")
"""Groups that older configurations lack: no part."""
LATER: dict[str, dict[str, Any]] = {
    **{group: {"_target_": "fomo.Method"} for group in LATER_GROUPS},
    "model": {"folder": None, "width": 1},
    "stream": {"seed": None},
    "batch_ladder": {"sizes": None, "test": "norm_test"},
    "runtime": {"compile": None, "deterministic": True},
    "evaluation": {"every_tasks": 1, "every_steps": None, "keep_samples": False, "prompts": None},
}
"""Keys of sections that older configurations lack, as whole sections, and the value that makes no other run."""
SECTIONS = (
    *("model", "stream", "evaluation", "merging", "regularizer", *LATER_GROUPS, "optimizer", "trainable"),
    "batch_ladder",
)
"""Keys that hold keys, where a configuration has them."""
ENGINE = ("compile", "deterministic", "grad_checkpointing", "micro_batch")
"""Keys of ``runtime`` that move the last bits: a run that goes on has to share them, results are compared without."""
LOOKS = ("every_tasks", "every_steps", "keep_samples")
"""Keys of ``evaluation`` that say what is looked at besides the result, which is the same without."""


def read_config(run: Path) -> dict[str, Any]:
    """The plain values of a run folder's configuration.

    Raises:
        FomoError: ``config.yaml`` is not there, or not the configuration of a run.
    """
    path = run / CONFIG
    values = read_yaml(path)
    whole = isinstance(values, dict) and isinstance(values.get("runtime"), dict) and type(values.get("seed")) is int
    whole = whole and all(isinstance(values.get(key, {}), dict) for key in SECTIONS)
    if not whole or not isinstance(values.get("label", ""), str):
        raise FomoError(f"{path}: not the configuration of a run.")
    return dict(values)


def check_score_version(found: object, where: str) -> None:
    """Refuse what belongs to scores that this version does not give.

    Args:
        found: the score version that ``where`` says, or the first where it says none.
        where: what it is about, for the error.

    Raises:
        FomoError: it is another than :data:`fomo.version.SCORE_VERSION`.
    """
    if found != SCORE_VERSION:
        raise FomoError(
            f"{where} is of score version {found}, and this is {SCORE_VERSION}: datasets, models or what a budget "
            "buys are others, and no run goes on from one to the other. `fomo score` and `fomo report` show old "
            "results; to run it anew, give its choices to `fomo run` and another run.dir."
        )


def sha256_without_seed(values: Mapping[str, Any]) -> str:
    """Equal for runs that differ by their seed, or by what moves their last bits alone."""
    return json_digest({key: value for key, value in ranked(values).items() if key != "seed"})


def ranked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that its result is ranked by."""
    kept = comparable(values)
    for section, left_out in (("runtime", ENGINE), ("evaluation", LOOKS)):
        if isinstance(node := kept.get(section), Mapping):
            kept[section] = {key: value for key, value in node.items() if key not in left_out}
    return kept


def comparable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that makes it another run: to the last bit, its seconds and its device apart."""
    kept = {key: value for key, value in values.items() if key not in UNCOMPARED}
    kept["runtime"] = {key: value for key, value in values["runtime"].items() if key not in UNCOMPARED_RUNTIME}
    for section, later in LATER.items():
        if isinstance(node := kept.get(section), Mapping):
            kept[section] = {key: value for key, value in node.items() if key not in later or value != later[key]}
    return {key: value for key, value in kept.items() if key not in LATER or value != {}}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """``key: old → new`` for every key of two nested mappings that differs."""
    lines: list[str] = []
    for key in [*old, *(key for key in new if key not in old)]:
        before = old.get(key)
        after = new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before} → {after}")
    return lines
