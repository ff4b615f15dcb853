"""The state that merges start from."""

import pytest

from fomo.model.weights import Weights
from tests.methods.merging.oracles import state_of


@pytest.fixture(scope="module", params=["pocket_resnet", "pocket"])
def base(request: pytest.FixtureRequest) -> Weights:
    return state_of(request.param)
