"""Which entries trimming keeps, found without sorting everything at once."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.merging.merge import between
from methods.merging.thresholds import magnitudes

numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, 1e-40, 3e38]), st.floats(-1e6, 1e6, width=32, allow_nan=False)
)


@settings(max_examples=60)
@given(st.lists(numbers, min_size=1, max_size=60), st.data())
def test_the_streamed_rank_is_the_sorted_one(values: list[float], data: st.DataObject) -> None:
    vector = torch.tensor(values)
    cut, ranks = data.draw(st.integers(0, len(values))), data.draw(st.lists(st.integers(1, len(values)), min_size=1))

    def pieces() -> Iterator[Tensor]:
        yield from (vector[:cut], vector[cut:])

    expected = [float(torch.sort(vector.abs(), descending=True).values[rank - 1]) for rank in ranks]
    assert magnitudes(pieces, ranks) == expected
    sample = vector[data.draw(st.integers(0, len(values))) :]  # whatever it holds, or nothing
    assert magnitudes(pieces, ranks, lambda: [sample], len(values)) == expected


def test_a_good_sample_needs_one_pass_and_a_bad_one_three() -> None:
    vector, passes = torch.randn(100_000, generator=torch.Generator().manual_seed(0)), []

    def pieces() -> Iterator[Tensor]:
        passes.append(1)
        yield from vector.split(999)

    for sample, num_passes in ((vector[:5000], 1), (vector[:5000] * 9, 3), (torch.full((5000,), 0.5), 3)):
        passes.clear()
        (found,) = magnitudes(pieces, [30_000], lambda sample=sample: [sample], len(vector))  # type: ignore[misc]
        assert found == float(torch.sort(vector.abs(), descending=True).values[29_999]) and len(passes) == num_passes


@pytest.mark.parametrize("low", [0.0, 0.1, 1e-40, 0.3])
def test_the_bounds_of_trimming_are_kept(low: float) -> None:
    vector = torch.tensor([low, -low, 0.05, 0.7, -0.9, 1e-41])
    low32 = float(torch.tensor(low))
    kept = [v if low32 <= abs(v) <= float(torch.tensor(0.7)) else 0.0 for v in vector.tolist()]
    assert between(vector, low32, float(torch.tensor(0.7))).tolist() == kept
