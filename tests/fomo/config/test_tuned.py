"""Options have the reference's values; the file of a model may have others for some, which the command line beats."""

import pytest

from fomo.config.compose import compose, untuned
from fomo.config.schema import resolve

FAR = ("model=ViT-B-16", "model.pretrained=null")
NEAR = ("model=pocket",)
CASES = [  # option, key, the reference's value (executed code of Roth et al. 2024), the pocket's
    ("regularizer=ewc", "strength", 1.0, 100.0),
    ("regularizer=ewc", "decay", 1.0, 1.0),
    ("regularizer=si", "strength", 0.5, 10.0),
    ("regularizer=si", "damping", 1.0, 1e-3),
    ("regularizer=lwf", "strength", 1.0, 0.1),
    ("optimizer=galore", "rank", 8, 16),
    ("optimizer=galore", "scale", 2.0, 0.25),
    ("optimizer=galore", "update_proj_gap", 200, 200),
    ("optimizer=adamw", "lr", 1e-5, 1e-3),
    ("optimizer=adamw", "decay", "all", "matrices"),
    ("optimizer=sgd", "decay", "all", "matrices"),
    ("optimizer=own", "lr", 1e-5, 1e-3),
    ("trainable=vera", "b", 0.1, 0.1),
    ("trainable=vera", "d", 0.0, 0.0),
]
OWN = "optimizer._target_=mine.make"


@pytest.mark.parametrize(("option", "key", "reference", "pocket"), CASES)
def test_an_option_has_the_references_value_unless_the_model_has_another(
    option: str, key: str, reference: object, pocket: object
) -> None:
    group = option.split("=")[0]
    own = (OWN,) if option == "optimizer=own" else ()
    assert compose([*FAR, option, *own])[group][key] == reference
    assert compose([*NEAR, option, *own])[group][key] == pocket
    assert compose([*NEAR, option, f"{group}.{key}=0.125", *own])[group][key] == 0.125, "the command line beats both"


def test_options_that_nothing_is_meant_for_are_as_they_are() -> None:
    near, far = (compose([*model, "regularizer=l2", "optimizer=own", OWN]) for model in (NEAR, FAR))
    assert near["regularizer"] == far["regularizer"]
    assert "decay" not in near["optimizer"], "a function of somebody else's is not handed what it does not take"
    assert compose([*NEAR, "method=lora"])["trainable"] == compose([*FAR, "method=lora"])["trainable"]


def test_each_of_several_parts_has_its_own() -> None:
    found = compose([*NEAR, "regularizer=[ewc,si]"])["regularizer"]
    assert (found["ewc"]["strength"], found["si"]["strength"]) == (100.0, 10.0)


def test_what_is_stored_has_the_values_and_replays_them() -> None:
    values = compose([*NEAR, "method=ewc"])
    assert "tuned" not in values
    stored = resolve(values).to_yaml()
    assert "strength: 100.0" in stored and "${" not in stored and "\ntuned:" not in stored


def test_what_an_option_is_without_a_model_can_be_told() -> None:
    assert untuned("${oc.select:tuned.ewc.strength,1.0}") == 1.0
    assert untuned("${oc.select:tuned.optimizer.decay,all}") == "all"
    assert untuned("${batch_size}") == "${batch_size}" and untuned(3) == 3
