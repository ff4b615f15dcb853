"""AGVM: factors in closed form and against autograd, steps that they multiply, cost, state, and the contract."""

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.testing import conformance_of
from fomo.testing.processes import on_ranks
from fomo.testing.world import own_rows, world
from fomo.training.methods import Methods
from fomo.training.step import Learner, symmetric_loss
from methods.agvm import AGVM, MODULES, factor, module_of, unlikeness
from tests import tiny
from tests.fomo.budget import settings
from tests.methods.diagnostics.toy import Distant, batch, flat

ON = "modulation=agvm"
IMAGE = ("visual.weight",)
TEXT = ("text", "text_projection")


class Towers(nn.Module):
    """Two towers in fp64, whose parameters are named as open_clip's: images [b, 3, 1, 2], tokens [b, 4] below 9."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(3)
        self.visual = nn.Linear(6, 4, bias=False, dtype=torch.float64)
        self.visual.weight.data = torch.randn(4, 6, generator=drawn, dtype=torch.float64)
        self.text = nn.Parameter(torch.randn(9, 5, generator=drawn, dtype=torch.float64))
        self.text_projection = nn.Parameter(torch.randn(5, 4, generator=drawn, dtype=torch.float64))
        self.logit_scale = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, images: Tensor, tokens: Tensor) -> fomo.Features:
        found = (self.visual(images.flatten(1)), self.text[tokens].mean(1).tanh() @ self.text_projection)
        images, texts = (nn.functional.normalize(each, dim=-1) for each in found)
        return fomo.Features(images, texts, self.logit_scale.exp())


def stepped(
    network: nn.Module, part: AGVM, of: fomo.Batch, micro_batch: int | None = None, **parts: fomo.Method
) -> Mapping[str, float]:
    """One step by SGD at a rate of 1; what it logged."""
    methods = Methods({"modulation": part, **parts})
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    learner = Learner(network, methods, lambda named: optimizer, 1e9, None, nullcontext, micro_batch)
    methods.begin_run(network, 0)
    methods.each("begin_task", network, learner.task(1, 1, 2, 0))
    return learner.step(optimizer, of).logged


@pytest.mark.parametrize(("noise", "expected"), [(2.0, 0.5), (0.5, 2.0), (1.0, 1.0)])
def test_halves_with_planted_noise_give_the_root_of_its_ratio(noise: float, expected: float) -> None:
    """Of orthogonal noise of length r beside a gradient of 1, 1 − cos is 2r²/(1 + r²): for small r, μ is r_1/r_i."""
    signal = torch.tensor([1.0, 0.0], dtype=torch.float64)
    own, anchor = (torch.tensor([0.0, 0.01 * r], dtype=torch.float64) for r in (noise, 1.0))
    found = [unlikeness([signal], [each]) for each in (anchor, own)]
    assert float(found[1]) == pytest.approx(2 * (0.01 * noise) ** 2 / (1 + (0.01 * noise) ** 2))
    assert float(factor(*found, lowest=0.01, highest=100)) == pytest.approx(expected, rel=0.01)


def test_unlikeness_is_that_of_numpy_and_equal_halves_have_none() -> None:
    drawn = np.random.default_rng(0)
    g, d = drawn.normal(size=(2, 7))
    one, other = g + d, g - d
    expected = 1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    pieces = ([torch.from_numpy(g[:3]), torch.from_numpy(g[3:])], [torch.from_numpy(d[:3]), torch.from_numpy(d[3:])])
    assert float(unlikeness(*pieces)) == pytest.approx(expected, rel=1e-12)
    zero = [torch.zeros_like(each) for each in pieces[0]]
    assert float(unlikeness(pieces[0], zero)) == pytest.approx(0, abs=1e-15)
    assert float(factor(torch.tensor(0.0), torch.tensor(0.0), 0.5, 10)) == 1


def test_the_square_of_a_factor_is_clipped_on_both_sides() -> None:
    small, large = torch.tensor(1e-3), torch.tensor(1.0)
    assert float(factor(small, large, 0.5, 10)) == pytest.approx(0.5**0.5)
    assert float(factor(large, small, 0.5, 10)) == pytest.approx(10**0.5)


def halves(network: Towers, of: fomo.Batch, names: tuple[str, ...]) -> float:
    """1 − cos of the gradients of the loss to which the rows of one half reach twice and those of the other not."""
    found = []
    for first in (0, 1):
        images, texts, scale = network(of.images, of.tokens)
        keep = torch.zeros(len(of.images), 1, dtype=torch.float64)
        keep[first::2] = 1
        own = [keep * (2 * side - side.detach()) + (1 - keep) * side.detach() for side in (images, texts)]
        loss = symmetric_loss(fomo.Features(own[0], own[1], scale)) + own[0].mean(0).square().sum()
        loss = loss + network.text.square().sum()
        found.append(flat(torch.autograd.grad(loss, [network.get_parameter(name) for name in names])))
    return float(1 - torch.cosine_similarity(found[0], found[1], dim=0))


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_in_a_step_factors_are_those_of_autograds_halves_with_all_terms_in_them(micro_batch: int | None) -> None:
    network, of = Towers(), batch(12)
    expected = [halves(network, of, names) for names in (IMAGE, TEXT[:1], TEXT[1:])]
    found = stepped(network, AGVM(keep=0.25, lowest=1e-9, highest=1e9), of, micro_batch, distant=Distant())
    for name, own in zip(("text", "projections"), expected[1:], strict=True):
        ratio = ((expected[0] + 1e-6) / (own + 1e-6)) ** 0.5
        assert found[f"modulation.{name}"] == pytest.approx(0.25 + 0.75 * ratio, rel=1e-6)
        assert abs(ratio - 1) > 0.01


def test_a_module_takes_its_factor_of_the_step_and_the_anchor_and_the_temperature_all_of_it() -> None:
    before, of = Towers(), batch(12)
    plain, modulated = copy.deepcopy(before), copy.deepcopy(before)
    stepped(plain, AGVM(keep=0.0, lowest=1, highest=1), of)
    found = stepped(modulated, AGVM(keep=0.0), of)
    scales = dict.fromkeys(("visual.weight", "logit_scale"), 1.0)
    scales |= {"text": found["modulation.text"], "text_projection": found["modulation.projections"]}
    for name, scale in scales.items():
        start, one, other = (each.get_parameter(name).detach() for each in (before, plain, modulated))
        torch.testing.assert_close(other - start, scale * (one - start))
    assert scales["text"] != 1


def test_factors_of_one_leave_every_bit_of_a_step() -> None:
    here = world()
    plain, modulated = (copy.deepcopy(here.model.network) for _ in range(2))
    of = here.of_task[0][0]
    methods = Methods({"none": fomo.Method()})
    optimizer = torch.optim.SGD(plain.parameters(), lr=1.0)
    Learner(plain, methods, lambda named: optimizer, 1e9, None, nullcontext).step(optimizer, of)
    found = stepped(modulated, AGVM(keep=0.0, lowest=1, highest=1), of)
    assert set(found.values()) == {1.0}
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, modulated.get_parameter(name)), name


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("visual.transformer.resblocks.0.mlp.c_proj.weight", "image"),
        ("visual.proj", "projections"),
        ("visual.head.proj.weight", "projections"),
        ("visual.trunk.blocks.0.attn.proj.weight", "image"),
        ("visual.attnpool.c_proj.weight", "image"),
        ("text_projection", "projections"),
        ("text.text_projection", "projections"),
        ("text.parametrizations.text_projection.original", "projections"),
        ("text.proj.0.weight", "projections"),
        ("transformer.resblocks.1.mlp.c_proj.weight", "text"),
        ("text.transformer.resblocks.1.ln_1.weight", "text"),
        ("token_embedding.weight", "text"),
        ("logit_scale", "temperature"),
    ],
)
def test_modules_are_told_by_names(name: str, module: str) -> None:
    assert module_of(name) == module
    assert module in (*MODULES, "temperature")


def test_every_period_one_step_is_learned_from_twice_and_charged_for_it() -> None:
    plain = settings.cost("model=pocket", "batch_size=8").tasks[0]
    cost = settings.cost("model=pocket", "batch_size=8", ON, "modulation.every=7")
    found = cost.tasks[0]
    assert cost.refresh_every == 7
    assert plain.ordinary and found.first and found.ordinary
    once = sum(plain.ordinary[phase].charged for phase in ("forward", "backward"))
    assert found.first["modulation.after_backward"].charged == pytest.approx(once, rel=0.02)
    assert "modulation.after_backward" not in found.ordinary
    assert found.ordinary["forward"] == plain.ordinary["forward"]


def test_its_steps_are_planned_where_batches_are_of_one_pool_each() -> None:
    more = ("model=pocket", "batch_size=8", "mixture.batches=unmixed")
    assert settings.cost(*more, ON, "modulation.every=2").refresh_every == 2


@pytest.mark.parametrize("overrides", [ON, f"{ON} modulation.every=2 regularizer=si", f"{ON} trainable=lora"])
def test_a_method_with_it_keeps_the_contract(overrides: str) -> None:
    conformance_of(overrides.split()).require()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("every=0", "integers from 1"),
        ("keep=1", "from 0 to below 1"),
        ("lowest=0", "above 0 to 1"),
        ("highest=0.5", "from 1"),
    ],
)
def test_settings_without_a_meaning_are_refused_before_the_first_step(setting: str, says: str) -> None:
    with pytest.raises(fomo.FomoError, match=rf"modulation\.{setting.split('=')[0]}.*{says}"):
        tiny.prepared(ON, f"modulation.{setting}")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("trainable=locked_image",), "text and projections alone is trained"),
        (("trainable=nothing",), "nothing of the towers"),
        (("method=galore", "optimizer.rank=2"), "GaLore every 200, modulation every 10 steps. Give all of them one"),
    ],
)
def test_what_it_cannot_stand_beside_is_refused_before_the_first_step(more: tuple[str, ...], says: str) -> None:
    with pytest.raises(fomo.FomoError, match=says):
        tiny.prepared(ON, *more)


def test_a_batch_of_one_row_is_refused() -> None:
    with pytest.raises(fomo.FomoError, match="a batch of one row has no halves"):
        stepped(Towers(), AGVM(), batch(1))


def factors_here(size: int) -> Mapping[str, float]:
    """What this process logs in a step of so many rows, of which others may have some."""
    return stepped(Towers(), AGVM(keep=0.25, lowest=1e-9, highest=1e9), own_rows(batch(size)))


@pytest.mark.parametrize("size", [12, 4])
def test_several_processes_find_the_factors_that_one_does(size: int) -> None:
    """Of two, one has all even rows and the other all odd ones."""
    for processes in (2, 3):
        for found in on_ranks(processes, partial(factors_here, size)):
            assert found == pytest.approx(factors_here(size), rel=1e-6)
            assert min(abs(value - 1) for value in found.values()) > 0.01
