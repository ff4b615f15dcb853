"""Interpolation and EMA-merge against NumPy."""

import numpy as np
import pytest
import torch

import fomo
from fomo import weights
from fomo.weights import Weights
from methods.merging.techniques import interpolate
from methods.merging.temporal import EmaMerge
from methods.trainable import Trainable
from tests import tiny


@pytest.mark.parametrize("model", ["pocket", "pocket_vit"])
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_interpolation_weighs_the_old_model(model: str, weight: float) -> None:
    old = tiny.snapshot(tiny.prepared(f"model={model}").model.network)
    generator = torch.Generator().manual_seed(0)
    new: Weights = {}
    for name, value in old.items():
        noise = torch.randn(value.shape, generator=generator) if value.is_floating_point() else 3
        new[name] = value + noise
    originals = {name: value.numpy().copy() for name, value in old.items()}
    merged = interpolate(old, new, weight)
    for name, value in merged.items():
        a, b = originals[name], new[name].numpy()
        expected = weight * a + (1 - weight) * b if np.issubdtype(a.dtype, np.floating) else b
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_scalars_counters_and_bf16_follow_the_rule() -> None:
    old = {"scale": torch.tensor(2.0), "count": torch.tensor(3), "half": torch.ones(2, dtype=torch.bfloat16)}
    new = {"scale": torch.tensor(4.0), "count": torch.tensor(9), "half": torch.zeros(2, dtype=torch.bfloat16)}
    merged = interpolate(old, new, 0.25)
    assert merged["scale"].item() == 3.5 and merged["count"].item() == 9
    assert merged["half"].dtype == torch.bfloat16 and merged["half"].tolist() == [0.25, 0.25]


def test_ema_merge_is_the_recursion_and_training_goes_on_from_it() -> None:
    network = tiny.prepared().model.network
    merge, task = EmaMerge(weight=0.25), fomo.Task(1, 3, 1, seed=0)
    name = "visual.conv1.weight"
    expected = network.state_dict()[name].clone()
    merge.begin_run(network, 0)
    for step in range(3):
        with torch.no_grad():
            network.get_parameter(name).add_(step + 1)
        trained = network.state_dict()[name].clone()
        expected = 0.25 * expected + 0.75 * trained
        merge.end_task(network, task)
        torch.testing.assert_close(network.state_dict()[name], expected)


def test_ema_merge_folds_adapters_and_they_start_anew() -> None:
    prepared = tiny.prepared("method=lora_ema", "model=pocket_vit")
    network, methods = prepared.model.network, prepared.methods
    base = weights.folded(network)
    name = "transformer.resblocks.0.mlp.c_proj.weight"
    methods.begin_task(network, fomo.Task(1, 2, 1, seed=0))
    module = network.get_submodule("transformer.resblocks.0.mlp.c_proj")
    module.parametrizations.weight[0].B.data.fill_(0.1)  # type: ignore[union-attr, index]
    trained = weights.folded(network)[name]
    assert not torch.equal(trained, base[name])
    methods.end_task(network, fomo.Task(1, 2, 1, seed=0))
    torch.testing.assert_close(network.state_dict()[name], (base[name] + trained) / 2)
    methods.begin_task(network, fomo.Task(2, 2, 1, seed=0))
    assert not module.parametrizations.weight[0].B.any()  # type: ignore[union-attr, index]


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weights_outside_of_0_to_1_are_refused(weight: float) -> None:
    with pytest.raises(fomo.FomoError, match=r"merging\.weight"):
        EmaMerge(weight)


def test_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(fomo.FomoError, match="Did you mean 'locked_text'"):
        Trainable("lock_text")
