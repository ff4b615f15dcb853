"""What a schedule may return: a rate, from 0 to the peak."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import fomo
from fomo.config.step_rates import StepRates
from tests import tiny


def rates(schedule: Callable[[fomo.Position], float]) -> StepRates:
    """Of two tasks of ten steps, at a peak of 0.001."""
    config = tiny.resolved("optimizer.lr=1e-3").config
    plan: Any = SimpleNamespace(steps=[10, 10], sizes=config.sizes)
    return StepRates(config, schedule, plan)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_rate_up_to_the_peak_is_taken_as_it_is(share: float) -> None:
    assert rates(lambda at: share * at.peak)(1, 0, 10) == share * 1e-3


@pytest.mark.parametrize("rate", [0.5, -1e-4, float("nan"), float("inf")])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    """A multiplier would be a learning rate of 0.5; below 0 the loss would be made larger."""
    with pytest.raises(fomo.FomoError, match=r"in step 3 of task 2, where the peak is optimizer.lr=0\.001"):
        rates(lambda at: rate)(2, 3, 10)
