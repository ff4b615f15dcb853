"""muP: the coordinate check, the table of its rules by the shapes at hand, and that width 1 is what ships."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fomo.cli.pretrain import main
from fomo.config import factory
from fomo.errors import FomoError
from fomo.model.clip import ClipModel
from fomo.model.names import MODELS
from fomo.model.shipped import pocket, read_config
from fomo.model.widths import widened, width_of
from streams.pocket.datasets import open_pool
from streams.pocket.pretraining.mup import hidden
from streams.pocket.pretraining.train import PretrainingRecipe, _update, batches, begun, pretrain, read_pool
from tests import tiny
from tests.streams.pocket.pretraining.short import SHORT, written

WIDTHS = (0.5, 1, 2, 4)
WATCHED = (
    "visual.transformer.resblocks.0",
    "visual.transformer.resblocks.3",
    "visual.ln_post",
    "transformer.resblocks.1",
)


def recipe(width: float, parametrization: str, **more: float) -> PretrainingRecipe:
    return dataclasses.replace(SHORT, width=width, parametrization=parametrization, **more)  # type: ignore[arg-type]


def outputs(model: ClipModel, images: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """What the watched modules return, and the features with entries of size 1."""
    found: dict[str, Tensor] = {}

    def hear(name: str, module: nn.Module, taken: object, given: Tensor) -> None:
        found[name] = given.clone()

    layers = dict(model.network.named_modules())
    handles = [layers[each].register_forward_hook(lambda *heard, name=each: hear(name, *heard)) for each in WATCHED]
    with torch.no_grad():
        features = model.network.encode_image(images, normalize=True), model.network.encode_text(tokens, normalize=True)
    for handle in handles:
        handle.remove()
    return found | {side: each * each.shape[1] ** 0.5 for side, each in zip(("images", "texts"), features, strict=True)}


def changes(parametrization: str) -> Mapping[str, np.ndarray]:
    """By what is watched: the RMS change of its entries by three steps, at each width."""
    found: dict[str, list[float]] = {}
    for width in WIDTHS:
        model, optimizer = begun("pocket", recipe(width, parametrization))
        pool = read_pool(open_pool(64), model.tokenize)
        probe = (model.normalize(pool.images[:16].permute(0, 3, 1, 2)), pool.tokens[pool.texts[:16]])
        before = outputs(model, *probe)
        for pairs, _ in zip(batches(pool, SHORT), range(3), strict=False):
            _update(model, optimizer, pairs, 5e-4)
        for name, after in outputs(model, *probe).items():
            found.setdefault(name, []).append((after - before[name]).square().mean().sqrt().item())
    return {name: np.array(each) for name, each in found.items()}


def test_three_steps_move_activations_alike_at_all_widths_and_without_it_the_more_the_wider() -> None:
    """The coordinate check of the paper's appendix: within a factor of 2 over eight times the width."""
    with_mup, without = changes("mup"), changes("standard")
    for name, moved in with_mup.items():
        assert moved.max() < 2 * moved.min(), name
    for name in WATCHED:
        assert without[name][-1] > 2.5 * without[name][0], name


@pytest.mark.parametrize("width", [0.5, 2])
def test_initial_weights_have_the_variances_of_the_table(width: float) -> None:
    base = dict(pocket("pocket", initial=True).network.named_parameters())
    network = begun("pocket", recipe(width, "mup"))[0].network
    names = hidden("pocket", network)
    for name, parameter in network.named_parameters():
        expected = base[name].square().mean().sqrt() * (width**-0.5 if name in names else 1)
        # The least of what is drawn has 64 entries: its size is known within 9 %, and two are compared.
        torch.testing.assert_close(parameter.square().mean().sqrt(), expected, rtol=0.4, atol=1e-12, msg=name)


def test_hidden_are_the_matrices_between_channels_and_learn_slower() -> None:
    model, optimizer = begun("pocket", recipe(2, "mup"))
    names = {id(parameter): name for name, parameter in model.network.named_parameters()}
    slower = next(group for group in optimizer.param_groups if group.get("lr_scale", 1) != 1)
    assert (slower["lr_scale"], slower["weight_decay"]) == (0.5, 2 * SHORT.weight_decay)
    inside = ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    blocks = [f"visual.transformer.resblocks.{n}" for n in range(4)] + [f"transformer.resblocks.{n}" for n in range(2)]
    expected = {f"{block}.{each}" for block in blocks for each in inside} | {"visual.proj", "text_projection"}
    assert {names[id(parameter)] for parameter in slower["params"]} == expected
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


def test_a_step_decays_hidden_matrices_by_the_same_share_at_every_width() -> None:
    shares = []
    for width in (1, 4):
        model, optimizer = begun("pocket", recipe(width, "mup"))
        weight = model.network.visual.transformer.resblocks[0].mlp.c_fc.weight
        before = weight.detach().clone()
        for parameter in model.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * group.get("lr_scale", 1)
        optimizer.step()
        shares.append((weight.norm() / before.norm()).item())
    assert shares == pytest.approx([1 - 0.01 * SHORT.weight_decay] * 2, rel=1e-6)


def test_width_one_is_the_plain_recipe_to_the_byte(tmp_path: Path) -> None:
    plain = written(tmp_path / "plain", "pocket", SHORT)
    assert written(tmp_path / "mup", "pocket", recipe(1, "mup")) == plain
    assert written(tmp_path / "wide", "pocket", recipe(2, "mup")) != written(
        tmp_path / "plainly", "pocket", recipe(2, "standard")
    )
    recipes = [json.loads((tmp_path / each / "recipe.json").read_text()) for each in ("plain", "mup", "wide")]
    assert recipes[1:] == [
        recipes[0] | more for more in ({"parametrization": "mup"}, {"width": 2, "parametrization": "mup"})
    ]
    assert not {"width", "parametrization"} & set(recipes[0])


def test_a_wider_model_is_the_base_of_a_run_that_says_its_width(tmp_path: Path) -> None:
    made = pretrain("pocket", recipe(0.5, "mup"))
    folder = tmp_path / "half"
    written(folder, "pocket", recipe(0.5, "mup"))
    config = json.loads((folder / "config.json").read_text())
    assert config == json.loads((folder / "card.json").read_text())["config"]
    assert (config["embed_dim"], config["vision_cfg"]["width"], config["text_cfg"]["heads"]) == (64, 64, 1)
    chosen = ("model.width=0.5", f"model.folder={folder}")
    found = factory.model(tiny.resolved(*chosen).config).network.state_dict()
    assert all(torch.equal(found[key], value.half().float()) for key, value in made.network.state_dict().items())
    run = tiny.run(tmp_path / "run", "num_tasks=1", "budget.steps=2", "stream.adaptation=[pocket_flags]", *chosen)
    assert factory.model(tiny.resolved(*chosen).config, random=True).network.visual.proj.shape == (64, 64)
    again = factory.model(tiny.resolved("model.width=0.5", f"model.folder={run}").config)
    assert again.network.visual.proj.shape == (64, 64)


def test_weights_of_another_width_are_refused_with_the_width_to_say(tmp_path: Path) -> None:
    written(tmp_path / "wide", "pocket", recipe(2, "mup"))
    for shapes_only in (False, True):
        with pytest.raises(FomoError, match=r"2 times as wide\. Say model.width=2"):
            pocket("pocket", folder=tmp_path / "wide", shapes_only=shapes_only)
        with pytest.raises(FomoError, match=r"another architecture than 'pocket_resnet'"):
            pocket("pocket_resnet", folder=tmp_path / "wide", shapes_only=shapes_only)
    with pytest.raises(FomoError, match=r"1 times as wide\. Say model.width=1"):
        pocket("pocket", folder=MODELS / "pocket", width=2)
    with pytest.raises(FomoError, match=r"ship at width 1 alone.*fomo pretrain model=pocket width=2 out=DIR"):
        pocket("pocket", width=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["width=0.25"], "2 heads of the text tower, .*multiples of 0.5"),
        (["width=0"], "multiples of 0.5"),
        (["width=nan"], "multiples of 0.5"),
        (["width=wide"], "width"),
        (["parametrization=mupp"], "Did you mean 'mup'"),
        (["model=pocket_resnet", "parametrization=mup"], "ResNet of 'pocket_resnet'.*parametrization=standard"),
        (["optimizer=lamb"], "optimizer"),
    ],
)
def test_what_has_no_meaning_is_refused_before_any_work(arguments: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=words):
        main([*arguments, f"out={tmp_path / 'model'}"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["pocket", "pocket_resnet"])
def test_a_width_is_found_again_in_the_architecture(name: str) -> None:
    base = read_config(name)
    assert widened(name, base, 1) == base
    assert [width_of(name, base, widened(name, base, width)) for width in WIDTHS] == list(WIDTHS)
    assert width_of(name, base, {**base, "embed_dim": 256}) is None
    pocket(name, initial=True, width=0.5).network.encode_image(torch.zeros(2, 3, 32, 32))
