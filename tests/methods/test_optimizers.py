"""Which parameters weight decay reaches."""

import pytest
import torch

import fomo
from methods.optimizers import adamw, decays
from tests import tiny


def test_decay_all_reaches_every_parameter() -> None:
    named = list(tiny.prepared().model.network.named_parameters())
    (group,) = adamw(named, 1e-3, 0.2, decay="all").param_groups
    assert group["weight_decay"] == 0.2 and len(group["params"]) == len(named)


def test_decay_matrices_spares_norms_biases_embeddings_and_temperature() -> None:
    named = dict(tiny.prepared("model=pocket_vit").model.network.named_parameters())
    decayed = {name for name, parameter in named.items() if decays(name, parameter)}
    assert "visual.conv1.weight" in decayed and "transformer.resblocks.0.attn.in_proj_weight" in decayed
    spared = set(named) - decayed
    for name in ("logit_scale", "token_embedding.weight", "positional_embedding", "ln_final.weight"):
        assert name in spared
    assert all(named[name].ndim < 2 or "embedding" in name for name in spared)


def test_a_step_is_adamw() -> None:
    parameter = torch.nn.Parameter(torch.tensor([[1.0, -2.0]]))
    parameter.grad = torch.tensor([[0.5, -0.1]])
    adamw([("w", parameter)], lr=0.1, weight_decay=0.2).step()
    # first step: m̂/√v̂ is the sign of the gradient; decay multiplies by 1 − 0.1·0.2
    torch.testing.assert_close(parameter.detach(), torch.tensor([[1.0 * 0.98 - 0.1, -2.0 * 0.98 + 0.1]]))


def test_unknown_decay_is_refused() -> None:
    with pytest.raises(fomo.FomoError, match="Did you mean 'matrices'"):
        adamw([], 1e-3, 0.2, decay="matrix")
