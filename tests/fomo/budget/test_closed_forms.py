"""What methods cost on a small CLIP of two transformers, by hand."""

from math import prod

import pytest

from fomo.budget.cost import TaskCost
from fomo.budget.flops import Phases, counted
from fomo.model.shipped import pocket
from tests.fomo.budget import settings

BATCH, JOINT, PATCH = 24, 128, 8
IMAGE, TEXT = (128, 4, 17), (64, 2, 32)
"""Towers of ``pocket``: width d, layers, tokens n."""
SIMILARITIES = 2 * BATCH**2 * JOINT
"""One product of all images with all texts."""


def tower(
    shape: tuple[int, int, int], batch: int = BATCH, linear: int = 24, attention: int = 4, projection: int = 1
) -> int:
    """A tower by its products: ``linear``·bnd² and ``attention``·bn²d per layer, ``projection`` products at its end.

    Forward they are 24 (6 in-projection, 2 out-projection, 16 MLP), 4 and 1. Backward every map has one product for its
    input and one for its weight; attention has 10.
    """
    width, layers, tokens = shape
    per_layer = linear * batch * tokens * width**2 + attention * batch * tokens**2 * width
    return layers * per_layer + projection * 2 * batch * width * JOINT


def patches(batch: int = BATCH) -> int:
    """The convolution that makes tokens of pixels, forward (and as much for its weight's gradient)."""
    return 2 * batch * (IMAGE[2] - 1) * 3 * PATCH**2 * IMAGE[0]


def forward(batch: int) -> int:
    return tower(IMAGE, batch) + tower(TEXT, batch) + patches(batch)


def full(batch: int) -> int:
    """Forward and backward with every weight's gradient."""
    both = sum(tower(shape, batch, linear=72, attention=14, projection=3) for shape in (IMAGE, TEXT))
    return both + 2 * patches(batch) + 3 * 2 * batch**2 * JOINT


def task(*overrides: str) -> TaskCost:
    return settings.cost("model=pocket", f"batch_size={BATCH}", *overrides).tasks[0]


def step(*overrides: str) -> Phases:
    found = task(*overrides).ordinary
    assert found is not None
    return found


@pytest.mark.parametrize("method", ["lnfit", "bitfit"])
def test_norms_and_biases_need_the_gradient_of_all_inputs_and_of_no_weight(method: str) -> None:
    both = sum(tower(shape, linear=48, attention=14, projection=2) for shape in (IMAGE, TEXT))
    assert counted(step(f"method={method}")) == both + patches() + 3 * SIMILARITIES


def test_a_locked_image_tower_is_passed_once() -> None:
    """The temperature scales the logits: its gradient takes no product, and the images' is not wanted."""
    text = tower(TEXT, linear=72, attention=14, projection=3)
    assert counted(step("method=locked_image")) == tower(IMAGE) + patches() + text + 2 * SIMILARITIES


def test_a_locked_text_tower_is_passed_once() -> None:
    image = tower(IMAGE, linear=72, attention=14, projection=3)
    assert counted(step("method=locked_text")) == tower(TEXT) + image + 2 * patches() + 2 * SIMILARITIES


@pytest.mark.parametrize("method", ["lora", "dora", "vera"])
@pytest.mark.parametrize("rank", [4, 64])
def test_adapters_need_the_gradients_of_the_weights_they_are_added_to(method: str, rank: int) -> None:
    """In-projection and the MLP's last map: 6 + 8 of 24. B·A is [3d, r]·[r, d] and [d, r]·[r, 4d], three times.

    DoRA's is computed again in the backward pass, so four times; the reference computes it twice in the forward pass.

    The first layer's in-projection passes no gradient on, since nothing before it is trained.
    """
    total = patches() + 3 * SIMILARITIES
    for width, layers, tokens in (IMAGE, TEXT):
        total += tower((width, layers, tokens), linear=24 + 24 + 14, attention=14, projection=2)
        total += layers * (4 if method == "dora" else 3) * 14 * rank * width**2 - 6 * BATCH * tokens * width**2
    assert counted(step(f"method={method}", f"trainable.rank={rank}")) == total


def test_galore_projects_every_gradient_down_and_up_and_decomposes_it_now_and_then() -> None:
    found = task("method=galore", "optimizer.rank=16", "optimizer.update_proj_gap=50")
    sides = [(p.shape[0], prod(p.shape[1:])) for p in pocket("pocket").network.parameters() if p.ndim > 1]
    projected = [(max(pair), min(pair)) for pair in sides if min(pair) > 16]
    products = sum(4 * 16 * m * n for m, n in projected)
    assert found.first and found.ordinary and len(projected) > 20
    assert found.ordinary["optimizer"] == (products, 0)
    assert found.first["optimizer"] == (products, sum(6 * m * n**2 + 20 * n**3 for m, n in projected))


def test_ewc_pays_forward_and_backward_for_every_batch_of_its_fisher_pass() -> None:
    found = task("method=ewc", "regularizer.batch_size=12")  # D has 60 samples
    assert counted(found.end) == 5 * full(12)
    assert found.ordinary and counted(found.ordinary) == full(BATCH), "the penalty is element-wise"


def test_lwf_pays_for_a_teacher_on_the_whole_batch() -> None:
    """And for two more products of features: the teacher's, and the student's with its two gradients."""
    found = step("method=lwf")
    assert counted(found) == full(BATCH) + forward(BATCH) + 4 * SIMILARITIES
    assert found["regularizer.loss"].counted == forward(BATCH) + 2 * SIMILARITIES


def test_zscl_pays_for_a_teacher_on_the_rows_of_the_pretraining_pool() -> None:
    """8 of P, 9 of D and 7 of B; in the first task 11 of P. The student's texts are the teacher's, without gradient."""
    rows = 11
    assert counted(step("method=zscl")) == full(BATCH) + forward(rows) + 3 * 2 * rows**2 * JOINT
