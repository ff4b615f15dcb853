"""Optimizers: what weight decay reaches, timm by name, GaLore against explicit NumPy steps, their state."""

import copy
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fomo
from fomo.config import factory
from fomo.running.run import execute
from fomo.training.rates import set_rate
from methods.galore import GaLore, is_projected, projector
from methods.grouped import decays
from methods.optimizers import adamw, from_timm, galore
from tests import tiny
from tests.fomo.budget import settings

MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": adamw,
    "galore": partial(galore, rank=2, update_proj_gap=2),
    **{name: partial(from_timm, name=name) for name in ("sgd", "lamb", "lion", "adafactor", "nadamw", "lars")},
}


def parameters(dtype: torch.dtype = torch.float32) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"wide": (4, 7), "tall": (8, 3), "conv": (6, 2, 3, 3), "thin": (2, 9), "bias": (5,), "scale": ()}
    return {n: nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for n, s in shapes.items()}


def gradients(named: dict[str, nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for parameter in named.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_decay_all_reaches_every_parameter(make: Callable[..., torch.optim.Optimizer]) -> None:
    named = list(tiny.prepared().model.network.named_parameters())
    (group,) = make(named, lr=1e-3, weight_decay=0.2, decay="all").param_groups
    assert group["weight_decay"] == 0.2 and len(group["params"]) == len(named)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_decay_matrices_makes_two_groups(make: Callable[..., torch.optim.Optimizer]) -> None:
    named = parameters()
    decayed, spared = make(named.items(), lr=1e-3, weight_decay=0.2, decay="matrices").param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.2, 0.0)
    assert [p is named[name] for p, name in zip(spared["params"], ("bias", "scale"), strict=True)] == [True, True]


def test_decay_matrices_spares_norms_biases_embeddings_and_temperature() -> None:
    named = dict(tiny.prepared("model=pocket").model.network.named_parameters())
    decayed = {name for name, parameter in named.items() if decays(name, parameter)}
    assert "visual.conv1.weight" in decayed and "transformer.resblocks.0.attn.in_proj_weight" in decayed
    spared = set(named) - decayed
    for name in ("logit_scale", "token_embedding.weight", "positional_embedding", "ln_final.weight"):
        assert name in spared
    assert all(named[name].ndim < 2 or "embedding" in name for name in spared)


def test_decay_matrices_spares_the_tables_and_tokens_of_other_libraries() -> None:
    matrix = nn.Parameter(torch.zeros(2, 2))
    spared = """
        visual.trunk.pos_embed visual.trunk.cls_token visual.trunk.reg_token visual.trunk.attn_pool.latent
        visual.trunk.layers.0.blocks.0.attn.relative_position_bias_table visual.trunk.stages.0.layer_scale.gamma
        text.transformer.shared.weight text.transformer.embeddings.word_embeddings.weight
        text.transformer.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight
    """
    for name in spared.split():
        assert not decays(name, matrix), name
    for name in ("visual.trunk.patch_embed.proj.weight", "visual.trunk.blocks.0.attn.qkv.weight", "text.proj.weight"):
        assert decays(name, matrix), name


@pytest.mark.parametrize("option", ["lamb", "lars"])
def test_the_defaults_of_layerwise_optimizers_move_a_matrix(option: str) -> None:
    """By 1e-4 to 1e-2 of its norm in a step at the peak: at AdamW's rate off the pocket it would be 1e-5 and 1e-8."""
    prepared = tiny.prepared(f"optimizer={option}")
    config = prepared.resolved.config
    named = dict(prepared.model.network.named_parameters())
    optimizer = factory.make_optimizer(config)(list(named.items()))
    set_rate(optimizer, config.optimizer["lr"])
    before = {name: p.detach().clone() for name, p in named.items()}
    generator = torch.Generator().manual_seed(0)
    for parameter in named.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-3
    optimizer.step()
    for name, parameter in named.items():
        if decays(name, parameter):
            share = float((parameter - before[name]).norm() / before[name].norm())
            assert 1e-4 <= share <= 1e-2, (name, share)


@pytest.mark.parametrize("trainable", ["lnfit", "bitfit", "lora"])
def test_galore_with_nothing_to_project_is_refused(trainable: str) -> None:
    with pytest.raises(fomo.FomoError, match=r"no matrix has a smaller side above 16.*optimizer=adamw"):
        settings.cost("optimizer=galore", f"trainable={trainable}", "batch_size=4", "model=pocket")


def test_a_step_is_adamw() -> None:
    parameter = torch.nn.Parameter(torch.tensor([[1.0, -2.0]]))
    parameter.grad = torch.tensor([[0.5, -0.1]])
    adamw([("w", parameter)], lr=0.1, weight_decay=0.2).step()
    # first step: m̂/√v̂ is the sign of the gradient; decay multiplies by 1 − 0.1·0.2
    torch.testing.assert_close(parameter.detach(), torch.tensor([[1.0 * 0.98 - 0.1, -2.0 * 0.98 + 0.1]]))


def test_sgd_from_timm_is_nesterov_with_coupled_decay() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    parameter.grad = torch.tensor([0.5])
    from_timm([("w", parameter)], "sgd", lr=0.1, weight_decay=0.2, options={"momentum": 0.9}).step()
    # g = 0.5 + 0.2·1; the buffer is g; Nesterov's step is g + 0.9·g
    torch.testing.assert_close(parameter.detach(), torch.tensor([1 - 0.1 * 1.9 * 0.7]))


def numpy_galore(
    weight: np.ndarray, grads: list[np.ndarray], rank: int, gap: int, lr: float, decay: float, scale: float
) -> np.ndarray:
    """The algorithm once more, step by step in float64."""
    shape = weight.shape
    weight, moments = weight.reshape(shape[0], -1).copy(), None
    for step, gradient in enumerate(grads):
        matrix = gradient.reshape(shape[0], -1)
        left = matrix.shape[0] <= matrix.shape[1]
        if step % gap == 0:
            u, _, vt = np.linalg.svd(matrix, full_matrices=False)
            basis = u[:, :rank] if left else vt[:rank].T
            basis = basis * np.sign([column[np.abs(column).argmax()] for column in basis.T])
        low = basis.T @ matrix if left else matrix @ basis
        first, second = (np.zeros_like(low), np.zeros_like(low)) if moments is None else moments
        moments = 0.9 * first + 0.1 * low, 0.999 * second + 0.001 * low**2
        corrected = moments[0] / (1 - 0.9 ** (step + 1)), moments[1] / (1 - 0.999 ** (step + 1))
        normal = corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        weight -= lr * (scale * (basis @ normal if left else normal @ basis.T) + decay * weight)
    return weight.reshape(shape)


@pytest.mark.parametrize("gap", [1, 2, 10])
@pytest.mark.parametrize("name", ["wide", "tall", "conv"])
def test_galore_equals_numpy(name: str, gap: int) -> None:
    parameter = parameters(torch.float64)[name]
    start, grads = parameter.detach().numpy().copy(), []
    optimizer = GaLore([parameter], lr=0.1, weight_decay=0.2, rank=2, update_proj_gap=gap, scale=0.5)
    for step in range(5):
        gradients({name: parameter}, step)
        assert parameter.grad is not None
        grads.append(parameter.grad.numpy().copy())
        optimizer.step()
    expected = numpy_galore(start, grads, 2, gap, 0.1, 0.2, 0.5)
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-5, atol=1e-6)  # P comes from fp32


@pytest.mark.parametrize("name", ["thin", "bias", "scale"])
def test_galore_takes_adamw_steps_where_there_is_no_subspace(name: str) -> None:
    ours, theirs = parameters()[name], parameters()[name]
    assert not is_projected(ours, 2) and is_projected(parameters()["tall"], 2)
    first, second = (
        GaLore([ours], lr=0.1, weight_decay=0.2, rank=2),
        torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.2),
    )
    for step in range(4):
        gradients({"": ours}, step)
        gradients({"": theirs}, step)
        first.step()
        second.step()
    torch.testing.assert_close(ours, theirs)


def test_in_the_directions_of_the_axes_galore_is_adam_on_the_leading_rows() -> None:
    """A diagonal gradient has the axes as singular vectors: the first two rows take scaled Adam steps, others none."""
    ours, theirs = nn.Parameter(torch.ones(4, 5)), nn.Parameter(torch.ones(4, 5))
    first, second = GaLore([ours], lr=0.1, rank=2, scale=0.25), torch.optim.Adam([theirs], lr=0.1 * 0.25)
    for size in (1.0, 0.3, 2.0):
        gradient = torch.zeros(4, 5)
        gradient[range(4), range(4)] = torch.tensor([4.0, 3.0, 2.0, 1.0]) * size
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        first.step()
        second.step()
    torch.testing.assert_close(ours[:2], theirs[:2])
    assert torch.equal(ours[2:], torch.ones(2, 5))


def test_an_update_lies_in_the_subspace_and_a_projector_is_orthonormal() -> None:
    parameter = parameters()["wide"]
    gradients({"": parameter}, 0)
    assert parameter.grad is not None
    basis, before = projector(parameter.grad, 2), parameter.detach().clone()
    torch.testing.assert_close(basis.T @ basis, torch.eye(2), atol=1e-5, rtol=0)
    GaLore([parameter], lr=0.1, rank=2).step()
    change = parameter.detach() - before
    assert torch.linalg.matrix_rank(change, rtol=1e-4) == 2
    torch.testing.assert_close(basis @ (basis.T @ change), change, atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_state_goes_through_a_state_dict(make: Callable[..., torch.optim.Optimizer]) -> None:
    def run(stop_after: int | None) -> dict[str, nn.Parameter]:
        named = parameters()
        optimizer = make(named.items(), lr=0.01, weight_decay=0.1, decay="matrices")
        for step in range(5):
            gradients(named, step)
            optimizer.step()
            if step == stop_after:
                state = copy.deepcopy(optimizer.state_dict())
                named = {name: nn.Parameter(p.detach().clone()) for name, p in named.items()}
                optimizer = make(named.items(), lr=0.01, weight_decay=0.1, decay="matrices")
                optimizer.load_state_dict(state)
        return named

    whole, resumed = run(None), run(2)
    assert all(torch.equal(p, resumed[name]) for name, p in whole.items())


def test_galore_keeps_its_moments_in_the_subspace() -> None:
    named = parameters()
    optimizer = galore(named.items(), lr=0.1, weight_decay=0.0, rank=2)
    gradients(named, 0)
    optimizer.step()
    shapes = {name: tuple(optimizer.state[p]["exp_avg"].shape) for name, p in named.items()}
    assert shapes == {"wide": (2, 7), "tall": (8, 2), "conv": (2, 18), "thin": (2, 9), "bias": (5,), "scale": ()}


@pytest.mark.parametrize("name", ["sgd", "lamb", "galore", "timm optimizer.name=lion"])
def test_an_optimizer_of_the_group_trains(name: str, tmp_path: Path) -> None:
    base = tiny.snapshot(tiny.prepared().model.network)
    prepared = tiny.prepared(*f"optimizer={name}".split(), "budget.steps=2", "num_tasks=1")
    execute(prepared, tmp_path / "run", tiny.Silent())
    assert "visual.conv1.weight" in tiny.changed(base, tiny.snapshot(prepared.model.network))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["optimizer=timm", "optimizer.name=lio"], "Did you mean 'lion'"),
        (["optimizer=timm", "optimizer.name=adahessian"], "second derivatives"),
        (["optimizer=timm", "+optimizer.options.momentun=0.9"], "momentun"),
        (["optimizer=timm", "+optimizer.options.momentum=0.9"], "nadamw has no momentum"),
        (["optimizer=sgd", "+optimizer.options.betas=[0.9,0.99]"], "sgd has no betas"),
        (["optimizer=timm", "optimizer.name=lion", "+optimizer.options.eps=1e-6"], "lion has no eps"),
        (
            ["optimizer=timm", "+optimizer.options.layer_decay=0.1"],
            r"layer_decay=0.1: .*from a model alone.*are optimizer\.layer_decay",
        ),
        (
            ["optimizer=timm", "+optimizer.options.fallback_list=[a]"],
            r"fallback_list=.*from a model alone.*use_fallback",
        ),
        (["optimizer=timm", "+optimizer.options.no_weight_decay_list=[a]"], r"is optimizer\.decay"),
        (["optimizer=timm", "+optimizer.options.filter_bias_and_bn=true"], r"is optimizer\.decay"),
        (["optimizer=timm", "+optimizer.options.weight_decay=1"], r"Set optimizer\.weight_decay itself"),
        (["optimizer=timm", "+optimizer.options.opt=lion"], r"name is optimizer\.name"),
        (["optimizer=sgd", "optimizer.options.momentum=-1"], "momentum"),
        (["optimizer.decay=matrix"], "Did you mean 'matrices'"),
        (["optimizer=lamb", "optimizer.decay=al"], "Did you mean 'all'"),
        (["optimizer=sgd", "optimizer.weight_decay=-1"], "weight_decay=-1"),
        (["optimizer=galore", "optimizer.rank=0"], r"optimizer\.rank=0"),
        (["optimizer=galore", "optimizer.rank=1.5"], r"optimizer\.rank=1\.5"),
        (["optimizer=galore", "optimizer.update_proj_gap=0"], r"update_proj_gap=0"),
        (["optimizer=galore", "optimizer.scale=0"], r"scale=0"),
        (["optimizer=galore", "optimizer.scale=inf"], r"scale=inf"),
        (["optimizer=galore", "optimizer.rank=100000"], r"rank=100000: .* no matrix has a smaller side above"),
        (["optimizer=galore", "optimizer.betas=[2,3]"], r"betas=\[2, 3\]: give two numbers"),
        (["optimizer.betas=[0.9]"], r"betas=\[0\.9\]: give two numbers"),
        (["optimizer.betas=[0.9,0.99,0.999]"], "give two numbers"),
        (["optimizer.betas=0.9"], r"betas=0\.9: give two numbers"),
        (["optimizer.betas=[a,b]"], "give two numbers"),
        (["optimizer.eps=inf"], r"eps=inf"),
        (["optimizer.weight_decay=inf"], r"weight_decay=inf"),
        (["optimizer.lr=inf"], r"lr=inf: allowed are finite"),
        (["optimizer.lr=-1"], r"lr=-1"),
    ],
)
def test_bad_settings_are_refused_before_training(settings: list[str], text: str) -> None:
    with pytest.raises(fomo.FomoError, match=text):
        tiny.prepared(*settings)


def test_what_makes_an_optimizer_of_groups_takes_named_parameters_and_says_so() -> None:
    named = parameters()
    by_place = from_timm(named.items(), "sgd", 0.1, 0.2, decay="matrices")
    by_name = from_timm(parameters=named.items(), name="sgd", lr=0.1, weight_decay=0.2, decay="matrices")
    assert by_place.param_groups == by_name.param_groups and len(by_place.param_groups) == 2
    taken = list(inspect.signature(from_timm).parameters)
    assert taken == ["parameters", "name", "lr", "weight_decay", "options", "decay", "lr_scale", "layer_decay"]
    with pytest.raises(TypeError, match="layer_decai"):
        adamw(named.items(), lr=0.1, weight_decay=0.2, layer_decai=0.5)
