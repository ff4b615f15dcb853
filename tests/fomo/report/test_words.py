"""Numbers as tables and pages show them."""

import pytest

from fomo.report.words import amount


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *[(4829.9, "4,829.9"), (4840.0, "4,840"), (0.0, "0"), (12.345678, "12.346"), (99999.4, "99,999")],
        *[(99999.6, "100,000"), (172280.4, "172,280"), (1.725e9, "1,725,000,000"), (-172280.4, "-172,280")],
    ],
)
def test_an_amount_has_its_digits_and_never_an_exponent(value: float, shown: str) -> None:
    assert amount(value) == shown


def test_fewer_digits_are_those_before_the_point_at_least() -> None:
    assert (amount(10_023.4, 4), amount(1_950.26, 4), amount(1_234_567.8, 6)) == ("10,023", "1,950", "1,234,568")
