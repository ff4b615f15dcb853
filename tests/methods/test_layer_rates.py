"""Rates by tower and by layer: factors counted by hand, on models of several libraries, and in an optimizer."""

import open_clip
import pytest
import torch

import fomo
from fomo.config import factory
from fomo.training.rates import set_rate
from methods.layer_rates import factors, tower_of
from methods.optimizers import adamw, galore
from tests import tiny

NAMES = {
    "visual.conv1.weight": 0.5**4,
    "visual.class_embedding": 0.5**4,
    "visual.positional_embedding": 0.5**4,
    "visual.ln_pre.weight": 0.5**4,
    "visual.transformer.resblocks.0.ln_1.weight": 0.5**3,
    "visual.transformer.resblocks.1.mlp.c_fc.weight": 0.5**2,
    "visual.transformer.resblocks.2.attn.in_proj_weight": 0.5,
    "visual.ln_post.weight": 1.0,
    "visual.proj": 1.0,
    "token_embedding.weight": 0.5**3,
    "positional_embedding": 0.5**3,
    "transformer.resblocks.0.ln_1.weight": 0.5**2,
    "transformer.resblocks.1.ln_1.weight": 0.5,
    "ln_final.weight": 1.0,
    "text_projection": 1.0,
    "logit_scale": 1.0,
}
"""Towers of three and of two blocks, at a decay of a half."""


def test_factors_are_those_of_each_tower_by_hand() -> None:
    assert factors(NAMES, None, 0.5) == NAMES


def test_towers_and_temperature_have_factors_of_their_own() -> None:
    found = factors(NAMES, {"text": 0.1, "temperature": 0.0}, 1.0)
    assert {name: found[name] for name in ("visual.proj", "ln_final.weight", "logit_scale")} == {
        "visual.proj": 1.0,
        "ln_final.weight": 0.1,
        "logit_scale": 0.0,
    }
    both = factors(NAMES, {"image": 3.0}, 0.5)
    assert both["visual.transformer.resblocks.1.mlp.c_fc.weight"] == 3 * 0.25 and both["ln_final.weight"] == 1


@pytest.mark.parametrize(
    ("model", "low", "high", "num_blocks"),
    [
        ("RN50", "visual.conv1.weight", "visual.attnpool.positional_embedding", 16),
        (
            "convnext_base",
            "visual.trunk.stem.0.weight",
            "visual.trunk.head.norm.weight",
            36 + 3,
        ),  # downsampling between
        ("ViT-B-16-SigLIP", "visual.trunk.patch_embed.proj.weight", "visual.trunk.attn_pool.latent", 12),
    ],
)
def test_towers_of_other_forms_begin_and_end_where_they_do(model: str, low: str, high: str, num_blocks: int) -> None:
    with torch.device("meta"):
        network = open_clip.create_model(model, device="meta", load_weights=False)
    found = factors([name for name, _ in network.named_parameters()], None, 0.9)
    assert found[low] == pytest.approx(0.9 ** (num_blocks + 1)) and found[high] == 1
    assert {tower_of(name) for name in found} == {"image", "text", "temperature"}


@pytest.mark.parametrize("make", [adamw, galore])
def test_groups_say_their_factor_and_a_model_of_one_rate_has_the_groups_it_had(make: object) -> None:
    named = list(tiny.prepared().model.network.named_parameters())
    options = {"lr": 1e-3, "weight_decay": 0.2, "decay": "matrices"} | ({"rank": 2} if make is galore else {})
    plain = make(named, **options).param_groups  # type: ignore[operator]
    assert len(plain) == 2 and not any("lr_scale" in group for group in plain)
    scaled = make(named, **options, lr_scale={"text": 0.5}, layer_decay=0.8).param_groups  # type: ignore[operator]
    expected = factors([name for name, _ in named], {"text": 0.5}, 0.8)
    placed = {id(p): group.get("lr_scale", 1.0) for group in scaled for p in group["params"]}
    assert {name: placed[id(p)] for name, p in named} == expected
    decayed = {id(p) for group in plain for p in group["params"] if group["weight_decay"]}
    assert decayed == {id(p) for group in scaled for p in group["params"] if group["weight_decay"]}


def test_a_step_moves_each_layer_by_its_factor() -> None:
    """Adam's first step is the rate itself in every entry whose gradient is not 0."""
    prepared = tiny.prepared("+optimizer.lr_scale.text=0.25", "+optimizer.layer_decay=0.5", "optimizer.weight_decay=0")
    config = prepared.resolved.config
    named = dict(prepared.model.network.named_parameters())
    optimizer = factory.make_optimizer(config)(list(named.items()))
    rate = config.optimizer["lr"]
    set_rate(optimizer, rate)
    before = {name: p.detach().clone() for name, p in named.items()}
    for parameter in named.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, factor in factors(named, {"text": 0.25}, 0.5).items():
        moved = float((before[name].double() - named[name].detach().double()).abs().median())
        assert moved == pytest.approx(rate * factor, rel=0.02), name


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lr_scale": {"vision": 1.0}}, "key of optimizer.lr_scale 'vision'"),
        ({"lr_scale": {"text": -1.0}}, r"optimizer\.lr_scale\.text=-1\.0"),
        ({"lr_scale": {"text": float("inf")}}, r"optimizer\.lr_scale\.text=inf"),
        ({"lr_scale": {"text": True}}, r"optimizer\.lr_scale\.text=True"),
        ({"layer_decay": 0.0}, r"optimizer\.layer_decay=0\.0"),
        ({"layer_decay": 1.1}, r"optimizer\.layer_decay=1\.1"),
        ({"layer_decay": float("nan")}, r"optimizer\.layer_decay=nan"),
    ],
)
def test_factors_without_a_meaning_are_refused(options: dict[str, object], text: str) -> None:
    named = list(tiny.prepared().model.network.named_parameters())
    with pytest.raises(fomo.FomoError, match=text):
        adamw(named, lr=1e-3, weight_decay=0.0, **options)  # type: ignore[arg-type]


def test_a_decay_over_layers_that_nobody_numbers_is_refused() -> None:
    with pytest.raises(fomo.FomoError, match="no layer numbers"):
        factors(["visual.weight", "text.weight"], None, 0.9)
