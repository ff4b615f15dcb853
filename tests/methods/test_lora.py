"""LoRA against explicit matrices."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import fomo
from fomo import weights
from methods.lora import LoRA, LowRank, targets
from tests import tiny


def attached(model: str = "pocket_vit", **options: object) -> nn.Module:
    network = tiny.prepared(f"model={model}").model.network
    method = LoRA(**options)  # type: ignore[arg-type]
    method.begin_run(network, 0)
    method.begin_task(network, fomo.Task(1, 2, 3, seed=0))
    return network


def fill(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, LowRank):
            module.B.data = torch.randn(module.B.shape, generator=generator) * 0.05


@pytest.mark.parametrize("blocks", [1, 3])
def test_update_equals_the_product_of_each_block(blocks: int) -> None:
    weight = torch.randn(blocks * 6, 5)
    update = LowRank(weight, rank=2, scale=0.5, blocks=blocks, generator=torch.Generator().manual_seed(0))
    update.B.data.normal_()
    expected = weight.clone()
    for block in range(blocks):
        expected[6 * block : 6 * (block + 1)] += 0.5 * update.B[block] @ update.A[block]
    torch.testing.assert_close(update(weight), expected)


def test_it_starts_at_the_base_model() -> None:
    base = tiny.prepared("model=pocket_vit").model.network
    network = attached()
    for name, value in weights.folded(network).items():
        assert torch.equal(value, base.state_dict()[name]), name


@pytest.mark.parametrize("model", ["pocket", "pocket_vit"])
def test_folded_equals_unfolded(model: str) -> None:
    network = attached(model).eval()
    fill(network)
    images, tokens = torch.randn(4, 3, 32, 32), torch.randint(1, 1000, (4, 16))
    with torch.no_grad():
        before = network(images, tokens)[:2]
        stored = weights.folded(network)
        weights.fold(network)
        after = network(images, tokens)[:2]
    assert not any(parametrize.is_parametrized(module) for module in network.modules())
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    for name, value in network.state_dict().items():
        assert torch.equal(stored[name], value), name


def test_gradients_reach_the_factors_of_packed_attention_and_nothing_else() -> None:
    network = attached()
    fill(network)
    network(torch.randn(2, 3, 32, 32), torch.randint(1, 1000, (2, 16)))[0].sum().backward()
    with_gradient = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("visual.transformer.resblocks.0.attn.parametrizations.in_proj_weight" in n for n in with_gradient)
    assert all(name.rsplit(".", 1)[-1] in ("A", "B") for name in with_gradient)
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    assert all(name.rsplit(".", 1)[-1] in ("A", "B") for name in trainable)


def test_paper_placement_is_qkv_and_c_proj_of_both_towers() -> None:
    network = tiny.prepared("model=pocket_vit").model.network
    paper = {f"{name}.{weight}" for name, _, weight, _ in targets(network, "paper")}
    blocks = [f"{tower}transformer.resblocks" for tower in ("", "visual.")]
    expected = set()
    for stem in blocks:
        count = len(network.get_submodule(stem))  # type: ignore[arg-type]
        for i in range(count):
            expected |= {f"{stem}.{i}.attn.in_proj_weight", f"{stem}.{i}.mlp.c_proj.weight"}
    assert paper == expected
    everywhere = {f"{name}.{weight}" for name, _, weight, _ in targets(network, "all")}
    assert everywhere > paper
    assert {f"{blocks[0]}.0.attn.out_proj.weight", f"{blocks[0]}.0.mlp.c_fc.weight"} <= everywhere


@pytest.mark.parametrize("rank", [0, -1, 10_000])
def test_impossible_ranks_are_refused_before_training(rank: int) -> None:
    with pytest.raises(fomo.FomoError, match=f"trainable.rank={rank}"):
        tiny.prepared("method=lora", f"trainable.rank={rank}")


def test_unknown_placement_is_refused_with_the_nearest() -> None:
    with pytest.raises(fomo.FomoError, match="Did you mean 'paper'"):
        tiny.prepared("method=lora", "trainable.placement=papers")
