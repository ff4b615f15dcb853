"""Several regularisers in one run: each under its name, with its own settings, in the listed order."""

import json
from pathlib import Path
from typing import Any

import pytest

from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import Resolved, resolve
from fomo.config.several import with_one_more
from fomo.config.sweeping import sweep
from fomo.errors import FomoError
from fomo.results.layout import EVENTS
from tests import tiny
from tests.fomo.budget import settings
from tests.fomo.helpers import put
from tests.plugin import install, seen

BOTH = "regularizer=[ewc,l2]"


def resolved(*overrides: str) -> Resolved:
    return resolve(compose(overrides))


def test_each_has_its_settings_and_its_name() -> None:
    made = resolved("regularizer=[zscl,l2]", "regularizer.zscl.l2=3", "regularizer.l2.strength=4")
    assert made.config.label == "finetune regularizer=[zscl,l2] regularizer.zscl.l2=3 regularizer.l2.strength=4"
    parts: dict[str, Any] = dict(factory.methods(made.config).parts)
    assert list(parts) == [
        *("trainable", "modulation", "regularizer.zscl", "regularizer.l2", "merging"),
        *("diagnostics", "activations"),
    ]
    assert [type(part).__name__ for part in parts.values()][2:4] == ["ZSCL", "L2"]
    assert parts["regularizer.l2"].factor == 4 / 2


def test_the_order_is_that_of_the_list_and_makes_another_experiment() -> None:
    other = resolved("regularizer=[l2,ewc]")
    assert list(factory.methods(other.config).parts)[2:4] == ["regularizer.l2", "regularizer.ewc"]
    assert other.sha256 != resolved(BOTH).sha256


def test_one_alone_is_what_it_was() -> None:
    assert resolved("regularizer=l2").values["regularizer"] == {
        "_target_": "methods.regularizers.L2",
        "strength": 0.1,
        "anchor": "run",
    }
    parts = list(factory.methods(resolved("regularizer=l2").config).parts)
    assert parts == ["trainable", "modulation", "regularizer", "merging", "diagnostics", "activations"]


def test_a_stored_configuration_replays_and_takes_settings(tmp_path: Path) -> None:
    made = resolved(BOTH)
    path = put(tmp_path / "config.yaml", made.to_yaml())
    assert resolve(compose([], path)).sha256 == made.sha256
    assert compose(["regularizer.l2.strength=7"], path)["regularizer"]["l2"]["strength"] == 7


def test_a_sweep_lists_lists() -> None:
    jobs = sweep(["regularizer=[ewc,l2],none"])
    assert [list(factory.methods(resolve(compose(job)).config).parts)[2] for job in jobs] == [
        "regularizer.ewc",
        "regularizer",
    ]


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["regularizer=[ewc,l3]"], "Did you mean 'l2'"),
        (["regularizer=[ewc,ewc]"], "each once"),
        (["regularizer=[]"], "one part at least"),
        (["regularizer=[none,l2]"], "not none"),
        (["trainable=[full,lora]"], "unknown option of trainable"),
        ([BOTH, "regularizer.strength=2"], "Did you mean 'regularizer.l2.strength'"),
        ([BOTH, "+regularizer.strength=2"], r"regularizer\.strength=2: .*regularizer\.PART\.strength"),
        ([BOTH, "+regularizer.l2.strenght=2"], "unknown key of regularizer.l2 'strenght'. Did you mean 'strength'"),
        ([BOTH, "regularizer._order_=[l2,ewk]"], r"_order_=\['l2', 'ewk', 'ewc'\]: name each of ewc, l2 once"),
        ([BOTH, "+regularizer._target_=fomo.Method"], r"regularizer\._target_=fomo\.Method: of several"),
        ([BOTH, "+regularizer.mine._target_=os.remove"], "runtime.allow_targets"),
    ],
)
def test_what_makes_no_list_is_refused(overrides: list[str], text: str) -> None:
    with pytest.raises(FomoError, match=text):
        factory.methods(resolved(*overrides).config)


SOURCE = """
import fomo


class Drag(fomo.Method):
    def __init__(self, strength=0.1):
        self.strength = strength

    def loss(self, network, batch, loss):
        return loss + self.strength * network.logit_scale.square()
"""


def test_a_guest_stands_beside_a_built_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its entry point, and by its target under another name: two drags of 0.1 are one of 0.2."""
    install(tmp_path, "draggers", SOURCE, {"methods.drag": "Drag"})
    with seen(tmp_path, monkeypatch):
        short = ("num_tasks=1", *tiny.COUNTED, "budget.total_mafs=8")
        again = ("+regularizer.more._target_=draggers.Drag", "+regularizer.more.strength=0.1")
        two = tiny.run(tmp_path / "two", "regularizer=[l2,drag]", *again, *short)
        one = tiny.run(tmp_path / "one", "regularizer=[l2,drag]", "regularizer.drag.strength=0.2", *short)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5) and losses(two)


def test_each_is_charged_under_its_name() -> None:
    task = settings.cost("regularizer=[ewc,lwf]", "regularizer.ewc.num_samples=12", "batch_size=12").tasks[0]
    assert "regularizer.ewc.end_task" in task.end and "regularizer.lwf.loss" in (task.first or {})


def losses(run: Path) -> list[float]:
    events = [json.loads(line) for line in (run / EVENTS).read_text().splitlines()]
    return [event["loss"] for event in events if event["event"] == "step"]


def test_the_kit_puts_a_class_in_place_of_one_and_beside_several() -> None:
    assert with_one_more({"trainable": 1, "regularizer": 2, "merging": 3}, "regularizer", "Pull", 4) == {
        "trainable": 1,
        "regularizer": 4,
        "merging": 3,
    }
    several = with_one_more({"trainable": 1, "regularizer.ewc": 2, "merging": 3}, "regularizer", "Pull", 4)
    assert list(several.items()) == [("trainable", 1), ("regularizer.ewc", 2), ("regularizer.Pull", 4), ("merging", 3)]
