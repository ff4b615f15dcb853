"""LiNeS: the task vector scaled by depth."""

import pytest
import torch

from fomo.model.weights import Weights
from methods.merging.lines import positions
from methods.merging.merge import merge
from tests.methods.merging.oracles import VECTORS, experts, state_of


def test_layer_numbers_of_both_towers() -> None:
    place = positions(state_of("pocket"))  # 4 blocks see, 2 read
    for name, expected in (
        ("visual.conv1.weight", 0), ("visual.positional_embedding", 0), ("visual.ln_pre.weight", 0),
        ("visual.transformer.resblocks.0.ln_1.weight", 0), ("visual.transformer.resblocks.1.mlp.c_fc.bias", 1 / 3),
        ("visual.transformer.resblocks.3.attn.in_proj_weight", 1), ("visual.ln_post.bias", 0), ("visual.proj", 0),
        ("token_embedding.weight", 0), ("transformer.resblocks.0.ln_1.bias", 0), ("ln_final.weight", 0),
        ("transformer.resblocks.1.ln_1.bias", 1), ("text_projection", 0), ("logit_scale", 0),
    ):  # fmt: skip
        assert place[name] == pytest.approx(expected), name
    place = positions(state_of("pocket_resnet"))  # four stages of one block
    assert place["visual.layer1.0.conv1.weight"] == 0 and place["visual.layer4.0.bn3.running_var"] == 1
    assert place["visual.layer3.0.downsample.1.weight"] == pytest.approx(2 / 3)
    assert place["visual.bn2.weight"] == 0 and place["visual.attnpool.positional_embedding"] == 0
    stages = positions(["v.trunk.stages.0.blocks.0.w", "v.trunk.stages.1.downsample.w", "v.trunk.stages.1.blocks.0.w"])
    assert list(stages.values()) == [0, 0.5, 1]


def test_lines_takes_alpha_outside_of_blocks() -> None:
    names = ("conv1.w", "blocks.0.w", "blocks.1.w", "blocks.2.w", "proj", "logit_scale")
    start = {name: torch.full((1,), 8.0) for name in names}
    moved = {name: torch.full((1,), 18.0) for name in names}
    merged = merge("task_arithmetic", [moved], None, start, lines=(0.2, 0.6))
    assert [merged[name].item() for name in names] == pytest.approx([10, 10, 13, 16, 10, 10])


@pytest.mark.parametrize("technique", VECTORS)
def test_lines_scales_the_merged_task_vector_by_depth(technique: str, base: Weights) -> None:
    models = experts(base, 2)
    plain = merge(technique, models, None, base, density=0.9)
    scaled = merge(technique, models, None, base, density=0.9, scale=0.5, lines=(0.2, 0.6))
    for name, place in positions(base).items():
        if base[name].is_floating_point():
            expected = base[name] + 0.5 * (0.2 + 0.6 * place) * (plain[name] - base[name])
            torch.testing.assert_close(scaled[name], expected, rtol=0, atol=2e-6, msg=name)
