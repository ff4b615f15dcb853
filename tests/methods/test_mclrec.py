"""MCLRec: R by hand and in NumPy, the contrastive terms in NumPy, Adam against torch's, cost, and the contract."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import fomo
from fomo.testing import conformance_of
from fomo.testing.world import world
from methods.regularizers import MCLRec
from methods.regularizers.mclrec import augmented, augmenters, contrasted, likeness
from tests import tiny
from tests.fomo.budget import settings

DOUBLE = torch.float64


def features(rows: int = 5, width: int = 8) -> fomo.Features:
    generator = torch.Generator().manual_seed(1)
    sides = torch.randn(2, rows, width, generator=generator, dtype=DOUBLE)
    return fomo.Features(*torch.nn.functional.normalize(sides, dim=-1), torch.tensor(3.0, dtype=DOUBLE))


def weights(width: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    made = augmenters(width, 0)
    return {name: value.double() + 0.1 * torch.randn(value.shape, generator=generator) for name, value in made.items()}


def numpy_augmented(weights: dict[str, Tensor], side: str, rows: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    for layer in range(3):
        if layer:
            rows = rows * (1 + erf(rows / np.sqrt(2))) / 2
        rows = rows @ weights[f"{side}.{layer}.weight"].numpy().T + weights[f"{side}.{layer}.bias"].numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def numpy_nce(one: np.ndarray, other: np.ndarray, scale: float) -> float:
    logits = scale * one @ other.T
    losses = [-np.log(np.exp(each.diagonal()) / np.exp(each).sum(1)).mean() for each in (logits, logits.T)]
    return float(sum(losses) / 2)


def numpy_likeness(similarity: np.ndarray) -> float:
    positive = [similarity[i, i] for i in range(len(similarity))]
    negative = [similarity[i, j] for i in range(len(similarity)) for j in range(len(similarity)) if i != j]
    low, high = sorted((min(positive), max(negative)))
    return float(np.mean([max(0, p - low) for p in positive]) + np.mean([max(0, high - n) for n in negative]))


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        # min p 0.5 = high, max n 0.2 = low: p − low 0.7, 0.3; high − n 0.3, 0.4
        ([[0.9, 0.2], [0.1, 0.5]], (0.7 + 0.3) / 2 + (0.3 + 0.4) / 2),
        # min p 0.1 = low, max n 0.8 = high: p − low 0, 0.3; high − n 0, 0.5
        ([[0.1, 0.8], [0.3, 0.4]], 0.3 / 2 + 0.5 / 2),
        # all alike: nothing to bring together
        ([[0.5, 0.5], [0.5, 0.5]], 0.0),
    ],
)
def test_r_by_hand(similarity: list[list[float]], expected: float) -> None:
    assert likeness(torch.tensor(similarity, dtype=DOUBLE)).item() == pytest.approx(expected, rel=1e-12)


def test_r_agrees_with_numpy() -> None:
    images, texts, _ = features()
    similarity = images @ texts.T
    assert likeness(similarity).item() == pytest.approx(numpy_likeness(similarity.numpy()), rel=1e-12)


def test_all_terms_agree_with_numpy() -> None:
    given, made = features(), weights()
    images, texts = given.images.numpy(), given.texts.numpy()
    own = [numpy_augmented(made, side, rows) for side, rows in (("images", images), ("texts", texts))]
    pairs = [(images, own[1]), (own[0], texts), (own[0], own[1])]
    expected = sum(numpy_nce(*pair, 3.0) + 0.7 * numpy_likeness(pair[0] @ pair[1].T) for pair in pairs)
    assert contrasted(made, given, 0.7).item() == pytest.approx(expected, rel=1e-10)


def test_augmenters_have_the_papers_form_and_return_unit_features() -> None:
    made = augmenters(64, 3)
    assert [tuple(made[f"texts.{layer}.weight"].shape) for layer in range(3)] == [(32, 64), (16, 32), (64, 16)]
    assert not torch.equal(made["texts.0.weight"], made["images.0.weight"])
    assert not torch.equal(augmenters(64, 4)["texts.0.weight"], made["texts.0.weight"])
    found = augmented(made, "texts", torch.randn(3, 64, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))


def test_a_strength_of_zero_leaves_loss_and_gradient_and_another_does_not() -> None:
    here = world()
    batch = here.of_task[0][0]
    gradients = []
    for strength in (None, 0.0, 0.5):
        network = copy.deepcopy(here.model.network)
        encoded = fomo.encode(network, batch)
        loss = fomo.symmetric_loss(encoded)
        if strength is not None:
            part = MCLRec(strength=strength)
            part.begin_run(network, 0)
            loss = part.loss(network, replace(batch, features=encoded), loss)
        loss.backward()
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None})
    plain, zero, some = gradients
    assert not tiny.changed(plain, zero)
    assert set(tiny.changed(plain, some)) >= {"visual.proj", "text_projection"} & set(plain)
    torch.testing.assert_close(plain["logit_scale"], some["logit_scale"], rtol=1e-5, atol=1e-8)


def test_augmenters_move_as_torchs_adam_moves_them() -> None:
    part = MCLRec(lr=0.01)
    own = {name: value.clone() for name, value in weights().items()}
    adam = torch.optim.Adam(own.values(), lr=0.01)
    part.kept["augmenter"] = {name: value.clone() for name, value in own.items()}
    for table in ("mean", "square"):
        part.kept[table] = {name: torch.zeros_like(value) for name, value in own.items()}
    part.kept["count"] = {"steps": torch.zeros((), dtype=DOUBLE)}
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        for value in own.values():
            value.grad = torch.randn(value.shape, generator=generator, dtype=DOUBLE)
        adam.step()
        part._adam({name: value.grad for name, value in own.items() if value.grad is not None})
    for name, value in own.items():
        torch.testing.assert_close(part.kept["augmenter"][name], value, rtol=1e-12, atol=1e-12)


def test_augmenters_lower_their_loss_on_the_features_of_the_step_and_leave_the_network() -> None:
    here = world()
    network = copy.deepcopy(here.model.network)
    given = replace(here.of_task[0][0], features=fomo.encode(network, here.of_task[0][0]))
    part = MCLRec(lr=0.01)
    part.begin_run(network, 0)
    losses = []
    for _ in range(4):
        part.loss(network, given, torch.tensor(0.0))
        part.after_step(network)
        losses.append(part.take_logged()["augmenters"].item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.1
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not tiny.changed(network.state_dict(), here.model.network.state_dict())


def test_updated_features_are_those_of_the_weights_after_the_step() -> None:
    here = world()
    batch = here.of_task[0][0]
    moved = copy.deepcopy(here.model.network)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.01)
    made = {}
    for features in ("kept", "updated"):
        network = copy.deepcopy(here.model.network)
        part = MCLRec(features=features)
        part.begin_run(network, 0)
        part.begin_task(network, fomo.Task(1, 1, 1, 0))
        part.loss(network, replace(batch, features=fomo.encode(network, batch)), torch.tensor(0.0))
        start = copy.deepcopy(part)
        part.after_step(moved)
        found = fomo.encode(moved if features == "updated" else network, batch)
        start._batch = replace(batch, features=fomo.Features(*(each.detach() for each in found)))
        start.is_updated = False
        start.after_step(moved)
        assert not tiny.changed(part.kept["augmenter"], start.kept["augmenter"])
        made[features] = part.kept["augmenter"]
    assert tiny.changed(made["kept"], made["updated"])


def test_kept_features_cost_nearly_nothing_and_updated_ones_a_forward_pass() -> None:
    found = [
        settings.cost("model=pocket", "batch_size=8", *more).tasks[0].ordinary
        for more in ((), ("regularizer=mclrec",), ("regularizer=mclrec", "regularizer.features=updated"))
    ]
    plain, kept, updated = found
    assert plain is not None and kept is not None and updated is not None
    whole = sum(each.charged for each in plain.values())
    more = sum(each.charged for each in kept.values()) - whole
    assert 0 < more < 0.01 * whole
    again = updated["regularizer.after_step"].charged - kept["regularizer.after_step"].charged
    assert again == pytest.approx(plain["forward"].charged, rel=0.01)


@pytest.mark.parametrize(
    "overrides", ["regularizer=mclrec", "regularizer=mclrec regularizer.features=updated trainable=lora"]
)
def test_a_method_with_it_keeps_the_contract(overrides: str) -> None:
    conformance_of(overrides.split()).require()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("strength=-1", "from 0"),
        ("regularity=nan", "from 0"),
        ("lr=0", "above 0"),
        ("features=keep", "Did you mean 'kept'"),
    ],
)
def test_settings_without_a_meaning_are_refused_before_the_first_step(setting: str, says: str) -> None:
    with pytest.raises(fomo.FomoError, match=rf"regularizer\.{setting.split('=')[0]}.*{says}"):
        tiny.prepared("regularizer=mclrec", f"regularizer.{setting}")


def test_a_batch_of_one_row_is_refused() -> None:
    one = features(rows=1)
    batch = fomo.Batch(torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, dtype=torch.long), (0, 1, 0), features=one)
    with pytest.raises(fomo.FomoError, match=r"batch of one row.*Raise batch_size"):
        MCLRec().loss(torch.nn.Linear(1, 1), batch, torch.tensor(0.0))
