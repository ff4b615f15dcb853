"""ConAdv: the attack in closed form, its limits, stale weights, cost, and the contract."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.testing import conformance_of
from fomo.testing.world import world
from methods.regularizers import ConAdv
from methods.regularizers.conadv import attacked
from tests import tiny
from tests.fomo.budget import settings

MEAN = (0.4, 0.5, 0.6)
STD = (0.2, 0.25, 0.3)


class Tower(nn.Module):
    """A linear image tower."""

    def __init__(self) -> None:
        super().__init__()
        self.image_mean = MEAN
        self.image_std = STD
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(12, 5, generator=generator, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight


def batch() -> fomo.Batch:
    """Three grey images of 2 × 2 pixels, far from black and white, and unit texts."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 3, 2, 2, generator=generator, dtype=torch.float64) * 0.1
    texts = torch.nn.functional.normalize(torch.randn(3, 5, generator=generator, dtype=torch.float64), dim=-1)
    features = fomo.Features(texts.flip(0), texts, torch.tensor(3.0, dtype=torch.float64))
    return fomo.Batch(images, torch.zeros(3, 4, dtype=torch.long), (1, 1, 1), features=features)


def part(network: object, **more: float) -> ConAdv:
    made = ConAdv(**more)  # type: ignore[arg-type]
    made.begin_run(network, 0)  # type: ignore[arg-type]
    return made


def numpy_gradient(images: np.ndarray, weight: np.ndarray, texts: np.ndarray, scale: float) -> np.ndarray:
    """∇ₓ of the contrastive loss of a linear tower, in closed form."""
    raw = images.reshape(len(images), -1) @ weight
    length = np.linalg.norm(raw, axis=1, keepdims=True)
    unit = raw / length
    logits = scale * unit @ texts.T
    of_rows = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    of_columns = np.exp(logits) / np.exp(logits).sum(0, keepdims=True)
    at_logits = (of_rows + of_columns - 2 * np.eye(len(images))) / (2 * len(images))
    at_unit = scale * at_logits @ texts
    at_raw = (at_unit - unit * (at_unit * unit).sum(1, keepdims=True)) / length
    return (at_raw @ weight.T).reshape(images.shape)


def test_the_attack_is_the_sign_of_the_gradient_in_closed_form() -> None:
    network = SimpleNamespace(visual=Tower())
    given = batch()
    assert given.features is not None
    made = part(network, epsilon=2.0)
    found = made._adversarial(network.visual, given, given.features.texts, given.features.scale)
    gradient = numpy_gradient(
        given.images.numpy(), network.visual.weight.detach().numpy(), given.features.texts.numpy(), 3.0
    )
    step = 2 / 255 / np.array(STD)[:, None, None] * np.sign(gradient)
    np.testing.assert_allclose(found.numpy(), given.images.numpy() + step, rtol=1e-12)


def test_an_image_stays_between_black_and_white_and_an_epsilon_of_zero_leaves_every_bit() -> None:
    images = torch.tensor([-2.0, 0.0, 1.99]).view(1, 3, 1, 1)
    sides = (torch.full((3, 1, 1), -2.0), torch.full((3, 1, 1), 2.0))
    up = torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)
    found = attacked(images, up, torch.full((3, 1, 1), 0.1), *sides)
    torch.testing.assert_close(found.flatten(), torch.tensor([-2.0, 0.1, 2.0]))
    odd = images * 1.1
    assert torch.equal(attacked(odd, up, torch.zeros(3, 1, 1), *sides), odd)


def test_an_epsilon_of_zero_multiplies_the_loss_by_one_and_lambda() -> None:
    here = world()
    network = copy.deepcopy(here.model.network)
    given = here.of_task[0][0]
    features = fomo.encode(network, given)
    loss = fomo.symmetric_loss(features)
    made = part(network, epsilon=0.0, strength=0.5)
    found = made.loss(network, replace(given, features=features), loss)
    torch.testing.assert_close(found, 1.5 * loss, rtol=1e-5, atol=0)


def test_adversarial_images_are_harder_than_drawn_moves_of_the_same_size() -> None:
    here = world()
    network = copy.deepcopy(here.model.network)
    given = here.of_task[0][0]
    features = fomo.encode(network, given)
    made = part(network, lag=0)
    adversarial = made._adversarial(network.visual, given, features.texts.detach(), features.scale.detach())
    moved = (adversarial - given.images).abs()
    noise = moved * torch.randn(moved.shape, generator=torch.Generator().manual_seed(0)).sign()
    losses = [fomo.contrastive(network, replace(given, images=i)) for i in (adversarial, given.images + noise)]
    assert losses[0] > losses[1] + 0.1
    assert losses[0] > fomo.contrastive(network, given) + 0.1


def test_the_attack_is_on_the_weights_of_the_step_before() -> None:
    network = SimpleNamespace(visual=Tower())
    given = batch()
    assert given.features is not None
    stale = part(network, epsilon=2.0)
    now = part(network, epsilon=2.0, lag=0)
    before = network.visual.weight.detach().clone()
    stale.loss(network, given, torch.tensor(0.0))  # type: ignore[arg-type]
    with torch.no_grad():
        network.visual.weight.mul_(-1).add_(1)
    arguments = (network.visual, given, given.features.texts, given.features.scale)
    at_hand = now._adversarial(*arguments)
    one_before = stale._adversarial(*arguments)
    assert not torch.equal(at_hand, one_before)
    with torch.no_grad():
        network.visual.weight.copy_(before)
    assert torch.equal(now._adversarial(*arguments), one_before)
    assert not now.kept["stale"] and torch.equal(stale.kept["stale"]["weight"], before)


def test_it_is_charged_for_the_attack_and_the_second_loss_and_holds_the_image_tower_once_more() -> None:
    """The image tower is passed forward twice more, back to the images once and back to the weights once."""
    plain = settings.cost("model=pocket", "batch_size=8").tasks[0]
    found = settings.cost("model=pocket", "batch_size=8", "regularizer=conadv").tasks[0]
    own = settings.cost("model=pocket", "batch_size=8", "regularizer=conadv", "regularizer.lag=0").tasks[0]
    assert plain.ordinary is not None and found.ordinary is not None
    assert found.ordinary["regularizer.loss"].charged > 0
    assert found.ordinary["backward"].charged > plain.ordinary["backward"].charged
    assert own.ordinary == found.ordinary


@pytest.mark.parametrize("overrides", ["regularizer=conadv", "regularizer=conadv trainable=lora"])
def test_a_method_with_it_keeps_the_contract(overrides: str) -> None:
    conformance_of(overrides.split()).require()


@pytest.mark.parametrize(
    ("setting", "says"),
    [("strength=-1", "from 0"), ("epsilon=-1", "from 0"), ("epsilon=inf", "from 0"), ("lag=2", "0 and 1")],
)
def test_settings_without_a_meaning_are_refused_before_the_first_step(setting: str, says: str) -> None:
    with pytest.raises(fomo.FomoError, match=rf"regularizer\.{setting.split('=')[0]}.*{says}"):
        tiny.prepared("regularizer=conadv", f"regularizer.{setting}")
