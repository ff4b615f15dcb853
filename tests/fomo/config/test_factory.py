"""The one place that builds: what ``stream._target_`` may return, a plan of ours or of a package that is allowed."""

from pathlib import Path

import pytest

from fomo.config.compose import compose
from fomo.config.factory import stream_plan
from fomo.config.schema import Config, resolve
from fomo.errors import FomoError
from fomo.results.config_file import sha256_without_seed
from streams.plan import NamedPlan
from tests.birds import BirdPlan
from tests.fomo.helpers import put


def config(*overrides: str) -> Config:
    return resolve(compose(overrides)).config


def guest(target: str, *overrides: str) -> Config:
    return config("stream=own", f"stream._target_=tests.birds.{target}", "runtime.allow_targets=[tests]", *overrides)


def test_ours_are_planned_from_their_names(tmp_path: Path) -> None:
    path = put(tmp_path / "x.json", '["pocket_flags+++japan"]')
    for overrides in ([], ["stream=file", f"stream.path={path}"]):
        assert isinstance(stream_plan(config(*overrides)), NamedPlan)


def test_somebody_elses_plan_takes_its_own_keys() -> None:
    plan = stream_plan(guest("BirdPlan", "+stream.size=60"))
    assert isinstance(plan, BirdPlan) and plan.num_training_samples() == 60
    with pytest.raises(FomoError, match=r"key of stream 'sizes'.*Did you mean 'size'"):
        stream_plan(guest("BirdPlan", "+stream.sizes=60"))


@pytest.mark.parametrize(("target", "kind"), [("opened", "Stream"), ("described", "dict")])
def test_a_target_that_returns_something_else_is_refused(target: str, kind: str) -> None:
    way_out = "StreamPlan. Return the plan of the stream"
    with pytest.raises(FomoError, match=rf"stream\._target_ = tests\.birds\.{target} returned a {kind}.*{way_out}"):
        stream_plan(guest(target))


def order(*overrides: str) -> list[str]:
    """The concepts in the order of the configured stream."""
    built = config("stream.adaptation=[pocket_flags]", *overrides)
    return [str(concept) for concept in stream_plan(built).ordered(built.stream_seed)]


def test_the_order_of_a_stream_is_drawn_from_its_own_seed_or_from_the_runs() -> None:
    assert order() == order("seed=0") != order("seed=1") == order("stream.seed=1") == order("stream.seed=1", "seed=2")


def test_a_configuration_from_before_streams_had_a_seed_is_the_same_run() -> None:
    now = resolve(compose([]))
    stream = {key: value for key, value in now.values["stream"].items() if key != "seed"}
    before = resolve({**now.values, "stream": stream})
    own = resolve(compose(["stream.seed=0"]))
    assert before.sha256 == now.sha256 != own.sha256 and before.config.stream_seed == 0
    assert sha256_without_seed(own.values) == sha256_without_seed({**own.values, "seed": 5})


@pytest.mark.parametrize("value", ["-1", "1.5", "true", "abc"])
def test_seeds_of_streams_are_integers(value: str) -> None:
    with pytest.raises(FomoError, match=r"stream\.seed=\S+: allowed are integers from 0, and null: that of the run"):
        config(f"stream.seed={value}")


def test_somebody_elses_plan_is_told_the_seed_if_it_takes_one() -> None:
    assert isinstance(stream_plan(guest("BirdPlan", "stream.seed=3")), BirdPlan)
    with pytest.raises(FomoError, match="returned a int"):
        stream_plan(guest("seeded", "stream.seed=3"))
    with pytest.raises(FomoError, match="returned a str"):
        stream_plan(guest("seeded"))


def test_a_plan_that_is_incomplete_is_refused() -> None:
    with pytest.raises(FomoError, match=r"stream\._target_ = fomo.stream.plan.StreamPlan: .*abstract"):
        stream_plan(config("stream=own", "stream._target_=fomo.stream.plan.StreamPlan", "runtime.allow_targets=[fomo]"))
