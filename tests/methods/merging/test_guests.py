"""Rules of a plug-in, with settings of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import fomo
from methods.merging.merge import merge
from methods.merging.temporal import TemporalMerge
from tests import plugin

RULES = """
def shrunk(values, weights, draws, out, share: float = 0.5, *, power: int):
    return share**power * sum(weight * value for weight, value in zip(weights, values))


def short(values, weights, draws):
    return next(values)


def needless(values, weights, draws, out):
    return next(values)


def mean(values, weights, draws, out):
    return sum(values).mean()


def greedy_rule(values, weights, draws, out):
    total = next(values)
    for value in values:
        total += value
    return total


greedy = Technique(greedy_rule, vectors=False)
"""
IMPORTS = "from methods.merging.techniques import Technique\n"
NAMES = ("shrunk", "short", "needless", "mean", "greedy")


@pytest.fixture
def rules_of_a_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plugin.install(tmp_path, "shrinking", IMPORTS + RULES, {f"merges.{name}": name for name in NAMES})
    with plugin.seen(tmp_path, monkeypatch):
        yield


def test_a_rule_takes_settings_of_its_own(rules_of_a_guest: None) -> None:
    one, other, start = ({"w": torch.full((3,), value)} for value in (3.0, 5.0, 1.0))
    merged = merge("shrunk", [one, other], base=start, options={"power": 2})
    assert merged["w"].tolist() == [1 + 0.25 * 3] * 3
    merged = merge("shrunk", [one, other], base=start, options={"power": 1, "share": 1.0})
    assert merged["w"].tolist() == [4.0] * 3


@pytest.mark.parametrize(
    ("technique", "options", "text"),
    [
        ("shrunk", {"power": 1, "shar": 0.5}, "unknown key of merging.options 'shar'. Did you mean 'share'"),
        ("shrunk", {"share": 0.5}, r"merging\.options\.power is missing"),
        ("shrunk", {"power": 0.5}, r"merging\.options\.power=0\.5: an integer"),
        ("shrunk", {"power": 1, "out": 1}, "unknown key of merging.options 'out'"),
        ("short", {}, r"short: the rule cannot be called as rule\(values, weights, draws, out"),
        ("needless", {"power": 1}, "'power'. Allowed: none"),
        ("interpolate", {"power": 1}, "'power'. Allowed: none"),
    ],
)
def test_settings_that_a_rule_does_not_take_are_refused_before_the_run(
    technique: str, options: dict[str, float], text: str, rules_of_a_guest: None
) -> None:
    with pytest.raises(fomo.FomoError, match=text):
        TemporalMerge("latest", "running", technique, options=options)


def test_settings_of_a_merge_that_merges_nothing_are_refused(rules_of_a_guest: None) -> None:
    with pytest.raises(fomo.FomoError, match=r"merging\.options: merging\.deploy=latest merges nothing"):
        TemporalMerge("latest", "latest", "shrunk", options={"power": 1})


def test_a_rule_that_returns_one_number_for_a_whole_piece_is_refused(rules_of_a_guest: None) -> None:
    one, start = {"w": torch.ones(3)}, {"w": torch.zeros(3)}
    with pytest.raises(fomo.FomoError, match=r"returns a tensor \[\] for pieces \[3\] of w"):
        merge("mean", [one, one], base=start)


def test_a_rule_that_adds_up_in_the_first_model_is_refused(rules_of_a_guest: None) -> None:
    """θ₀ would be another one in the next task; what the result is written to anyway may be written to."""
    one, other = {"w": torch.ones(3)}, {"w": torch.ones(3)}
    with pytest.raises(fomo.FomoError, match=r"writes to a model that it merges \(w\)"):
        merge("greedy", [one, other])
    assert merge("greedy", [other, {"w": torch.ones(3)}], out=other)["w"].tolist() == [2.0] * 3
