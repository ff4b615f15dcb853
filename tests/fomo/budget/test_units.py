"""What a budget may be given in."""

from typing import Any

import pytest

from fomo.budget import NOT_BUDGETED, NOT_COMPARABLE, Budget
from fomo.errors import FomoError


@pytest.mark.parametrize(
    ("given", "marks"),
    [
        ({"total_mafs": 1.8e9}, []),
        ({"total_gflops": 5}, []),
        ({"samples": 100}, [NOT_BUDGETED]),
        ({"steps": 360}, [NOT_BUDGETED]),
        ({"wall_seconds": 60}, [NOT_COMPARABLE]),
        ({"total_mafs": 10.0, "rounding": "nearest"}, ["rounded to nearest"]),
    ],
)
def test_a_unit_and_what_it_says_of_a_result(given: dict[str, Any], marks: list[str]) -> None:
    budget = Budget(**given)
    assert budget.unit == next(iter(given)) and budget.caveats == marks
    assert budget.needs_rehearsal == (budget.unit in ("total_mafs", "total_gflops"))


def test_the_scale_multiplies_the_total() -> None:
    assert Budget(total_mafs=1.8e9, scale=0.5).total == 0.9e9
    assert Budget(steps=360, scale=4).total == 1440


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "one unit, given are: none"),
        ({"steps": 3, "total_mafs": 1.0}, "budget.total_mafs=1.0 and budget.steps=3"),
        ({"steps": 0}, "budget.steps=0: allowed are finite numbers above 0"),
        ({"total_mafs": -1.0}, "budget.total_mafs=-1.0"),
        ({"total_mafs": float("nan")}, "budget.total_mafs=nan"),
        ({"total_gflops": float("inf")}, "budget.total_gflops=inf"),
        ({"steps": 3, "scale": 0.0}, "budget.scale=0.0"),
        ({"steps": 3, "rounding": "neares"}, "Did you mean 'nearest'"),
    ],
)
def test_what_is_no_budget_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(FomoError) as caught:
        Budget(**given)
    assert text in str(caught.value)
