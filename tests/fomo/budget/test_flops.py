"""The counter against closed forms."""

import pytest
import torch
from torch import Tensor, nn

from fomo.budget.flops import FlopMeter, Flops, charged, counted
from tests.fomo.budget import settings


def by_hand(batch: int, image: tuple[int, int, int], text: tuple[int, int, int], joint: int, patch: int) -> int:
    """Forward and backward of a CLIP ViT by its matrix products; a tower is (width, layers, tokens).

    Per token of width d: 8d² in attention's projections, 16d² in the MLP. Attention itself is two products forward and
    five backward (the scores are computed again). A backward pass is twice the forward one, except that no gradient of
    the pixels is taken. One product of features gives the logits of both directions.
    """
    total = 0
    for width, layers, tokens in (image, text):
        linear = 24 * batch * tokens * width**2
        attention = 4 * batch * tokens**2 * width
        total += layers * (3 * linear + attention + attention * 5 // 2)
        total += 3 * 2 * batch * width * joint
    total += 2 * (2 * batch * (image[2] - 1) * 3 * patch**2 * image[0])
    return total + 3 * 2 * batch**2 * joint


def test_full_fine_tuning_of_vit_b_16_by_hand_and_as_published() -> None:
    step = settings.cost(*settings.PUBLISHED).tasks[0].ordinary
    assert step is not None
    assert counted(step) == charged(step) == by_hand(512, (768, 12, 197), (512, 12, 77), 512, 16)
    assert int(counted(step) / 1e5) == 63394_7585  # GFLOPs to four decimals


def test_a_small_transformer_by_hand() -> None:
    step = settings.cost("model=pocket_vit", "batch_size=24").tasks[0].ordinary
    assert step is not None and counted(step) == by_hand(24, (128, 4, 17), (64, 2, 16), 128, 8)


def test_an_attention_layer_costs_the_same_on_its_fast_path() -> None:
    layer, tokens = nn.MultiheadAttention(32, 4, batch_first=True).eval(), torch.randn(3, 7, 32)
    fast, plain = FlopMeter(), FlopMeter()
    with torch.no_grad(), fast("layer"):
        layer(tokens, tokens, tokens, need_weights=False)
    with plain("layer"):
        layer(tokens, tokens, tokens, need_weights=False)
    assert fast.phases == plain.phases == {"layer": Flops(3 * 7 * 8 * 32**2 + 3 * 4 * 7**2 * 32, 0)}


@pytest.mark.parametrize(
    ("decompose", "flops"),
    [
        (lambda m: torch.linalg.svd(m, full_matrices=False), 2 * (6 * 12 * 5**2 + 20 * 5**3)),
        (lambda m: torch.linalg.svd(m.mT, full_matrices=False), 2 * (6 * 12 * 5**2 + 20 * 5**3)),
        (torch.linalg.qr, 2 * round(4 * 12 * 5**2 - 4 / 3 * 5**3)),
        (lambda m: torch.linalg.eigh(m.mT @ m), 2 * 9 * 5**3),
        (lambda m: torch.linalg.inv(m[:, :5]), 2 * 2 * 5**3),
    ],
)
def test_decompositions_are_charged_by_their_formulas(decompose: object, flops: int) -> None:
    meter, matrices = FlopMeter(), torch.randn(2, 12, 5)
    with meter("work"):
        decompose(matrices)  # type: ignore[operator]
    assert meter.phases["work"].decomposed == flops
    assert charged(meter.phases) == flops + meter.phases["work"].counted


def test_phases_of_one_name_add_up_and_empty_ones_are_left_out() -> None:
    meter = FlopMeter()
    for name in ("a", "b", "a"):
        with meter(name):
            torch.mm(torch.ones(2, 3), torch.ones(3, 5))
    with meter("nothing"):
        torch.ones(3).add(1)
    assert meter.phases == {"a": Flops(120, 0), "b": Flops(60, 0)}


def test_a_phase_can_be_read_and_repeated_while_it_lasts() -> None:
    meter = FlopMeter()
    with meter("pass"):
        torch.mm(torch.ones(2, 3), torch.ones(3, 5))
        assert meter.so_far() == Flops(60, 0)
        meter.repeat(meter.so_far(), 9)
        torch.mm(torch.ones(1, 3), torch.ones(3, 5))
    assert meter.phases == {"pass": Flops(630, 0)}


def test_counting_changes_no_bit() -> None:
    def trained(count: bool) -> list[Tensor]:
        torch.manual_seed(0)
        layer, data = nn.MultiheadAttention(32, 4, batch_first=True), torch.randn(3, 7, 32)
        meter = FlopMeter()
        if count:
            with meter("step"):
                layer(data, data, data)[0].square().sum().backward()
        else:
            layer(data, data, data)[0].square().sum().backward()
        return [p.grad for p in layer.parameters() if p.grad is not None]

    assert all(torch.equal(a, b) for a, b in zip(trained(True), trained(False), strict=True))
