"""What a report says of a configuration."""

import copy
from typing import Any

from docs.tables import DEFAULTS
from docs.tables import defaults as composed
from fomo.report.settings import Setting, changed, defaults, facts


def plain(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(dict(defaults())) | changes


def test_the_defaults_are_what_a_plain_run_composes() -> None:
    """Otherwise: ``python -m docs.tables``."""
    assert DEFAULTS.read_text(encoding="utf-8") == composed()


def test_of_a_plain_run_nothing_is_said() -> None:
    resolved = plain(label="finetune", resume="must")
    resolved["runtime"] |= {"precision": "fp32", "num_workers": 7, "device": "cuda"}
    assert changed([resolved]) == []


def test_what_differs_is_said_and_what_differs_between_runs_comes_first() -> None:
    one, other = plain(num_tasks=3), plain(num_tasks=3, seed=5)
    other["trainable"] = {"_target_": "methods.lora.LoRA", "rank": 4}
    assert changed([one, other]) == [
        Setting("seed", "0", ("0", "5")),
        Setting("trainable", "Trainable", ("Trainable", "LoRA")),
        Setting("trainable.what", "full", ("full", "–")),
        Setting("trainable.rank", "–", ("–", "4")),
        Setting("num_tasks", "6", ("3", "3")),
    ]


def test_what_auto_meant_is_said_where_it_was_not_the_same() -> None:
    one, other = plain(), plain()
    one["runtime"]["precision"], other["runtime"]["precision"] = "fp32", "bf16"
    assert changed([one, other]) == [Setting("runtime.precision", "auto", ("fp32", "bf16"))]


def test_a_later_key_is_shown_with_its_default_where_some_run_has_another_value() -> None:
    one, other, old = plain(), plain(), plain()
    one["runtime"]["deterministic"] = False
    del old["runtime"]["deterministic"]
    assert changed([one, other, old]) == [Setting("runtime.deterministic", "yes", ("no", "yes", "–"))]


def test_values_are_short() -> None:
    found = plain(rewind_every=None)
    found["stream"]["adaptation"] = ["a", "b"]
    found["stream"]["root"] = "x" * 100
    values = {setting.key: setting.values for setting in changed([found])}
    assert values == {"stream.adaptation": ("2: a, b",), "rewind_every": ("none",), "stream.root": ("x" * 59 + "…",)}


def test_a_configuration_of_a_stranger_may_lack_nearly_everything() -> None:
    found = changed([{"seed": 1, "runtime": {}, "extra": {"a": [1]}}])
    assert [setting.key for setting in found] == ["seed", "extra.a"]
    assert facts({"seed": 1, "optimizer": {"_target_": "x.adamw", "lr": 0.1}}) == [
        ("optimizer", "adamw"),
        ("learning rate", "0.1"),
    ]
