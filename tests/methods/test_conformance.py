"""Every preset keeps the contract that plug-ins are held to."""

import pytest

from fomo.config.compose import builtin_groups
from fomo.testing import conformance_of

# Beside the presets: penalties on an adapter's own parameters, and the transformer as image tower.
BESIDE = [
    "method=ewc trainable=lora regularizer.num_samples=24 model=pocket",
    "method=si trainable=dora",
    "method=zscl trainable=vera",
]
QUICK = {"ewc": " regularizer.num_samples=24"}


@pytest.mark.parametrize("method", [f"method={m}{QUICK.get(m, '')}" for m in builtin_groups()["method"]] + BESIDE)
def test_a_method_conforms(method: str, device: str) -> None:
    conformance_of(method.split(), device=device).require()
