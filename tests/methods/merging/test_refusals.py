"""What cannot be merged is refused, and named."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import fomo
from fomo.model.weights import Weights
from methods.merging.merge import merge
from methods.merging.reading import Stored
from methods.merging.techniques import TECHNIQUES
from tests.methods.merging.oracles import (
    experts,
    state_of,
    vectors_of,
)


def broken(state: Weights, name: str, value: Tensor) -> Weights:
    return {**state, name: value}


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_entry_that_is_not_finite_is_named(technique: str, bad: float, base: Weights) -> None:
    models = experts(base, 2)
    models[1]["ln_final.weight"][3] = bad
    with pytest.raises(fomo.FomoError, match=r"NaN or infinite entry in ln_final\.weight"):
        merge(technique, models, None, base, density=0.9)


def test_large_finite_entries_are_no_reason_to_refuse() -> None:
    models = [{"w": torch.full((4,), 3e38)}] * 2
    assert torch.equal(merge("interpolate", models)["w"], models[0]["w"])


def test_models_that_do_not_fit_together_are_refused() -> None:
    one, other = state_of("pocket_resnet"), state_of("pocket")
    with pytest.raises(fomo.FomoError, match=r"differ in architecture: visual\..* in one of them alone"):
        merge("interpolate", [one, other])
    with pytest.raises(fomo.FomoError, match=r"ln_final\.weight is \[64\] in the first and \[3\] in number 2"):
        merge("interpolate", [one, broken(one, "ln_final.weight", torch.ones(3))])


@pytest.mark.parametrize(
    ("technique", "options", "text"),
    [
        ("tise", {}, "Did you mean 'ties'"),
        ("ties", {"base": None}, "needs the base model"),
        ("interpolate", {"weights": [0.5, 0.6]}, r"0\.5 \+ 0\.6 = 1\.1.*sum to 1"),
        ("slerp", {"weights": [1.5, -0.5]}, "0 or more"),
        ("interpolate", {"weights": [float("nan"), 0.5]}, "sum to 1"),
        ("interpolate", {"weights": [1.0]}, "1 weights for 2 models"),
        ("ties", {"density": 0.0}, r"density=0\.0.*above 0"),
        ("ties", {"density": 1.1}, "above 0 to 1"),
        ("breadcrumbs_ties", {"density": 0.01}, r"above 0\.01 to 1"),
        ("ties", {"scope": "towers"}, "Did you mean 'tower'"),
        ("dare_ties", {"scope": "model"}, "scope=model has no meaning"),
        ("ties", {"density": float("nan")}, "density=nan"),
        ("interpolate", {"lines": (0.5, 0.5)}, r"merging\.lines has no meaning for .*interpolate"),
        ("slerp", {"scale": 0.5}, r"merging\.scale has no meaning"),
        ("ties", {"lines": (0.5, 0.5)}, "no layer numbers"),
        ("ties", {"lines": (0.5,)}, "two numbers"),
        ("ties", {"lines": 0.5}, r"merging\.lines=0\.5: give two numbers"),
        ("ties", {"lines": ("a", "b")}, "two numbers"),
        ("ties", {"scale": float("inf")}, "scale=inf"),
    ],
)
def test_bad_settings_are_one_clear_error(technique: str, options: dict[str, object], text: str) -> None:
    models = vectors_of([1.0, 2.0])
    with pytest.raises(fomo.FomoError, match=text):
        merge(technique, models, **{"base": {"w": torch.zeros(1)}, **options})  # type: ignore[arg-type]


def test_no_model_is_no_merge() -> None:
    with pytest.raises(fomo.FomoError, match="no model to merge"):
        merge("interpolate", [])


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "expert.safetensors").write_bytes(b"torn")
    with pytest.raises(fomo.FomoError, match=r"expert\.safetensors"):
        Stored(tmp_path / "expert.safetensors")
    with pytest.raises(fomo.FomoError, match=r"gone\.safetensors"):
        Stored(tmp_path / "gone.safetensors")
