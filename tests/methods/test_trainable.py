"""Which parameters LNFit and BitFit train."""

import open_clip
import pytest
import torch
from torch import nn

import fomo
from methods.trainable import Trainable, kinds
from tests import tiny


def trained(network: nn.Module, what: str) -> dict[str, nn.Parameter]:
    method = Trainable(what)
    method.begin_run(network, 0)
    method.begin_task(network, fomo.Task(1, 2, 3, seed=0))
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    network: nn.Module = open_clip.create_model("ViT-B-16", device="meta", load_weights=False)
    return network


def test_lnfit_of_vit_b_16_is_its_51_layer_norms(vit: nn.Module) -> None:
    found = trained(vit, "lnfit")
    # image: ln_pre, 2 in each of 12 blocks, ln_post, width 768; text: 2 in each of 12, ln_final, width 512
    assert len(found) == 2 * (26 + 25)
    assert sum(p.numel() for p in found.values()) == 2 * (26 * 768 + 25 * 512)
    assert "visual.transformer.resblocks.3.ln_1.weight" in found and "ln_final.bias" in found


def test_bitfit_of_vit_b_16_is_every_bias(vit: nn.Module) -> None:
    found = trained(vit, "bitfit")
    # a block: in_proj 3w, out_proj w, c_fc 4w, c_proj w, two norms 2w = 11w; the patch embedding has none
    assert sum(p.numel() for p in found.values()) == 12 * 11 * 768 + 2 * 768 + 12 * 11 * 512 + 512
    assert "transformer.resblocks.0.attn.in_proj_bias" in found and "visual.ln_pre.bias" in found
    assert all(p.ndim == 1 and name.endswith("bias") for name, p in found.items())


@pytest.mark.parametrize("what", ["lnfit", "bitfit"])
@pytest.mark.parametrize("model", ["pocket_resnet", "pocket"])
def test_the_temperature_is_frozen_and_both_towers_are_trained(model: str, what: str) -> None:
    found = trained(tiny.prepared(f"model={model}").model.network, what)
    assert "logit_scale" not in found
    assert any(name.startswith("visual.") for name in found) and "ln_final.bias" in found


def test_batch_norm_is_a_norm_whose_affine_part_trains() -> None:
    network = tiny.prepared("model=pocket_resnet").model.network
    found = trained(network, "lnfit")
    convolutional = [n for n, m in network.visual.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert convolutional
    assert {f"visual.{n}.{leaf}" for n in convolutional for leaf in ("weight", "bias")} <= set(found)
    assert not any("conv" in name or "attnpool" in name for name in found)
    assert {f"visual.{n}.bias" for n in convolutional} <= set(trained(network, "bitfit"))


class RmsNorm(nn.Module):
    """As other libraries write it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


def test_norms_of_other_libraries_and_a_bias_beside_the_temperature() -> None:
    network = nn.Module()
    network.norm, network.logit_bias = RmsNorm(), nn.Parameter(torch.zeros(()))
    network.attention = nn.Module()
    network.attention.q_bias = nn.Parameter(torch.zeros(3))
    assert kinds(network) == {
        "norm.weight": {"text", "norm"},
        "logit_bias": {"temperature"},
        "attention.q_bias": {"text", "bias"},
    }


@pytest.mark.parametrize("what", ["lnfit", "bitfit"])
def test_a_model_that_has_none_is_refused_before_training(what: str) -> None:
    with pytest.raises(fomo.FomoError, match=rf"trainable.what={what}: the model has no such parameter"):
        Trainable(what).begin_run(nn.Linear(3, 3, bias=False), 0)
