"""Engines on a function whose best is known: how near they come, and that what goes on has the same next trials."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fomo.config import factory
from fomo.config.space import Choice, Interval, Space
from fomo.config.tuning import search
from fomo.errors import FomoError
from fomo.results.tuning import Value
from fomo.tuning.by_optuna import worth
from fomo.tuning.tuner import Tuner
from tests.plugin import install, seen

SPACE: Space = {"optimizer.lr": Interval(1e-5, 1e-2, log=True), "merging.technique": Choice(("a", "b", "c"))}
WORTH = {"a": -0.5, "b": 0.0, "c": -0.2}
WIDE: Space = {**SPACE, "trainable.rank": Interval(1, 64, log=True, whole=True), "merging.weight": Interval(0, 1)}


def made(sampler: str = "gp", space: Space = SPACE, **settings: Any) -> Tuner:
    pytest.importorskip("optuna", reason="Optuna is not installed: the extra tune")
    node = search([f"tuner={sampler}", "optimizer.lr=interval(0,1)"]).tuner
    tuner: Tuner = factory.build("tuner", {**node, **settings}, space=space)
    return tuner


def quadratic(of: Mapping[str, Value]) -> float:
    """50 at a rate of 10^-3.3 and technique b, less elsewhere."""
    return 50 - (math.log10(float(of["optimizer.lr"])) + 3.3) ** 2 + WORTH[str(of["merging.technique"])]


def tried(tuner: Tuner, number: int) -> list[tuple[Mapping[str, Value], float]]:
    found = []
    for _ in range(number):
        asked = tuner.ask()
        tuner.tell(asked, quadratic(asked))
        found.append((asked, quadratic(asked)))
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_of_25_of_the_gaussian_process_is_near_the_optimum(seed: int) -> None:
    best, value = max(tried(made(seed=seed), 25), key=lambda each: each[1])
    assert best["merging.technique"] == "b" and 50 - value < 0.01


@pytest.mark.parametrize("sampler", ["gp", "tpe", "random"])
@pytest.mark.parametrize("number", [0, 3, 9])
def test_a_study_that_goes_on_has_the_next_trials_that_it_would_have_had(sampler: str, number: int) -> None:
    whole = made(sampler, startup=4) if sampler != "random" else made(sampler)
    before = tried(whole, number)
    again = made(sampler, startup=4) if sampler != "random" else made(sampler)
    for asked, value in before:
        again.tell(asked, value)
    assert [whole.ask(), whole.ask(), whole.ask()] == [again.ask(), again.ask(), again.ask()]


def test_what_is_random_follows_from_the_seed_alone() -> None:
    one, same, other = (tried(made("random", WIDE, seed=seed), 5) for seed in (7, 7, 8))
    assert one == same and all(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("sampler", ["gp", "tpe", "random"])
def test_what_is_proposed_is_in_the_space(sampler: str) -> None:
    for asked, _ in tried(made(sampler, WIDE), 12):
        assert asked.keys() == WIDE.keys() and type(asked["trainable.rank"]) is int
        assert 1e-5 <= float(asked["optimizer.lr"]) <= 1e-2 and 1 <= int(asked["trainable.rank"]) <= 64


def test_trials_at_the_same_time_are_different() -> None:
    tuner = made(startup=2)
    tried(tuner, 6)
    rates = [float(tuner.ask()["optimizer.lr"]) for _ in range(3)]
    assert len(set(rates)) == 3


def test_what_is_not_feasible_is_worth_less_than_all_else() -> None:
    assert worth([50.0, None, 40.0]) == [50.0, 40.0 - (10.0 / 2 + 1), 40.0]
    assert worth([None, 7.0]) == [6.0, 7.0] and worth([None, None]) == [0.0, 0.0] and worth([]) == []


def test_settings_that_are_not_feasible_are_kept_away_from() -> None:
    """Rates above 1e-3 fail, a third of the range; the model asks for few of them."""
    tuner = made(startup=6)
    late = []
    for number in range(20):
        asked = tuner.ask()
        failed = float(asked["optimizer.lr"]) > 1e-3
        tuner.tell(asked, None if failed else quadratic(asked))
        late += [failed] * (number >= 10)
    assert sum(late) <= 3


def test_only_failures_so_far_are_no_fault() -> None:
    tuner = made(startup=2)
    for _ in range(4):
        tuner.tell(tuner.ask(), None)
    assert tuner.ask().keys() == SPACE.keys()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampler": "gpp"}, "unknown value of tuner.sampler 'gpp'. Did you mean 'gp'?"),
        ({"seed": -1}, "tuner.seed=-1: allowed are integers from 0"),
        ({"startup": 0}, "tuner.startup=0: allowed are integers from 1, and null"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FomoError) as error:
        factory.build("tuner", {"_target_": "fomo.tuning.by_optuna.Optuna", **settings}, space=SPACE)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "modules", "extra"), [("gp", ["optuna"], "tune"), ("vizier", ["jax", "vizier"], "vizier")]
)
def test_an_engine_whose_package_is_missing_names_the_extra(
    name: str, modules: list[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in modules:
        monkeypatch.setitem(__import__("sys").modules, module, None)
    node = search([f"tuner={name}", "method=lora"]).tuner
    with pytest.raises(FomoError, match=rf"tuner={name} needs .*pip install 'fomo-bench\[{extra}\]'"):
        factory.build("tuner", node, space=SPACE)


MIDDLE = """
class Middle:
    def __init__(self, space, share: float = 0.5) -> None:
        self.space = space
        self.share = share

    def ask(self):
        return {key: each.low + self.share * (each.high - each.low) for key, each in self.space.items()}

    def tell(self, overrides, value):
        pass
"""


def test_an_engine_of_another_package_is_named_like_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "guest", MIDDLE, {"tuners.middle": "Middle"})
    with seen(tmp_path, monkeypatch):
        found = search(["tuner=middle", "tuner.share=0.25", "space=none", "optimizer.lr=interval(0,4)"])
        tuner = factory.build("tuner", found.tuner, space=found.space)
        assert tuner.ask() == {"optimizer.lr": 1.0}
        with pytest.raises(FomoError, match=r"unknown setting of tuner=middle: 'shar'. Did you mean 'share'"):
            search(["tuner=middle", "tuner.shar=1", "method=lora"])


def test_vizier_goes_on_as_if_it_had_not_stopped() -> None:
    """Half a minute for each question on a small machine."""
    pytest.importorskip("vizier", reason="Vizier is not installed: the extra vizier, with jax before 0.6")
    node = search(["tuner=vizier", "method=lora"]).tuner
    whole: Tuner = factory.build("tuner", node, space=SPACE)
    before = tried(whole, 3)
    again: Tuner = factory.build("tuner", node, space=SPACE)
    for asked, value in before:
        again.tell(asked, value)
    assert before[0][0]["optimizer.lr"] == pytest.approx(10**-3.5)
    assert [whole.ask(), whole.ask()] == [again.ask(), again.ask()]
