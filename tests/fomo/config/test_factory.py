"""The one place that builds: what ``stream._target_`` may return, a plan of ours or of a package that is allowed."""

from pathlib import Path

import pytest

from fomo.config.compose import compose
from fomo.config.factory import stream_plan
from fomo.config.schema import Config, resolve
from fomo.errors import FomoError
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


def test_a_plan_that_is_incomplete_is_refused() -> None:
    with pytest.raises(FomoError, match=r"stream\._target_ = fomo.stream.plan.StreamPlan: .*abstract"):
        stream_plan(config("stream=own", "stream._target_=fomo.stream.plan.StreamPlan", "runtime.allow_targets=[fomo]"))
