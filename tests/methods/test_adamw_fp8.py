"""AdamW with moments in eight bits: the format against a table, ranges against the formula, steps against torch."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.checkpoint.state import load_optimizer
from fomo.config import factory
from fomo.results.scores_file import read_scores
from fomo.testing import conformance_of
from fomo.testing.world import config_of
from methods import adamw_fp8 as module
from methods.adamw_fp8 import adamw_fp8, pack, unpack
from methods.fp8 import check_there, decode, encode
from tests import tiny
from tests.fomo.budget import settings


def table() -> np.ndarray:
    """All 256 numbers of E4M3, from their bits: sign, exponent with bias 7, mantissa; 1111.111 is no number."""
    found = []
    for code in range(256):
        exponent = (code >> 3) & 15
        mantissa = code & 7
        size = 2.0**-6 * mantissa / 8 if exponent == 0 else 2.0 ** (exponent - 7) * (1 + mantissa / 8)
        is_number = (exponent, mantissa) != (15, 7)
        found.append((-1 if code >> 7 else 1) * size if is_number else float("nan"))
    return np.array(found)


def test_decoding_is_the_table_of_all_values() -> None:
    np.testing.assert_array_equal(decode(torch.arange(256, dtype=torch.uint8)).numpy(), table())


def test_encoding_rounds_to_the_nearest_of_the_table_and_ties_to_the_even_one() -> None:
    numbers = table()
    codes = [code for code in range(127)]  # from 0 to 448, rising
    rows = [*numbers[codes], *(numbers[codes][:-1] + numbers[codes][1:]) / 2]
    drawn = np.random.default_rng(0)
    rows += [*drawn.uniform(-500, 500, 4000), *drawn.normal(0, 0.01, 4000)]
    values = torch.tensor(rows, dtype=torch.float32)
    found = encode(values).numpy()
    for value, code in zip(values.numpy().astype(np.float64), found, strict=True):
        size = min(abs(value), 448.0)
        distances = np.abs(numbers[codes] - size)
        nearest = np.flatnonzero(distances == distances.min())
        expected = nearest[0] if len(nearest) == 1 else next(each for each in nearest if each % 2 == 0)
        assert code & 127 == expected, value
        assert code >> 7 == (value < 0) or expected == 0


def expected(values: np.ndarray, expand: bool) -> np.ndarray:
    """A group after a round trip, in float64 and by the table."""
    size = np.abs(values)
    largest = size.max()
    smallest = size[size > 0].min()
    centre = np.sqrt(largest * smallest)
    power = np.floor(16 * np.log2(448**2 / 2) / np.log2(largest / smallest)) / 16 if expand else 1.0
    scale = (largest / centre) ** power / 448
    numbers = table()[:127]
    rounded = np.array([numbers[np.abs(numbers - each).argmin()] for each in (size / centre) ** power / scale])
    return np.sign(values) * (rounded * scale) ** (1 / power) * centre


@pytest.mark.parametrize("expand", [True, False])
@pytest.mark.parametrize("kind", ["normal", "narrow", "wide"])
def test_a_round_trip_is_the_papers_formula(kind: str, expand: bool) -> None:
    drawn = np.random.default_rng(1)
    rows = {
        "normal": drawn.normal(0, 1e-3, (3, 128)),
        "narrow": drawn.uniform(1e-8, 1e-7, (3, 128)),
        "wide": np.exp(drawn.normal(0, 4, (3, 128))) * 1e-9,
    }[kind].astype(np.float32)
    kept = pack(torch.from_numpy(rows), expand)
    found = unpack(kept, torch.Size(rows.shape)).numpy()
    of_formula = np.stack([expected(row.astype(np.float64), expand) for row in rows])
    near = np.isclose(found, of_formula, rtol=1e-3, atol=0)  # where fp32 and fp64 round to other codes: a few
    assert near.mean() > 0.98
    assert kept["codes"].dtype == torch.uint8


def test_expanding_makes_the_error_of_smooth_second_moments_a_hundredth() -> None:
    values = torch.from_numpy(np.random.default_rng(2).uniform(1e-8, 1e-7, 12_800).astype(np.float32))
    errors = [float((unpack(pack(values, on), values.shape) - values).var() / values.var()) for on in (True, False)]
    assert errors[0] < errors[1] / 20


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(200),
        torch.full((200,), 3e-9),
        torch.zeros(200).index_fill(0, torch.tensor([7]), -2e-5),
        torch.logspace(-37, 37, 200),
    ],
)
def test_groups_of_zeros_of_equal_entries_and_of_any_range_stay_finite(values: Tensor) -> None:
    kept = pack(values)
    found = unpack(kept, values.shape)
    assert found.isfinite().all() and all(kept[name].isfinite().all() for name in ("scale", "power", "centre"))
    assert torch.equal(found == 0, values == 0) or values[0] == 1e-37
    assert torch.equal(found.sign(), values.sign()) or values[0] == 1e-37
    if values.abs().min() == values.abs().max():
        torch.testing.assert_close(found, values)


def named() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"matrix": (20, 31), "bias": (128,), "small": (127,), "scale": ()}
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}


def step(optimizer: torch.optim.Optimizer, of: dict[str, nn.Parameter], number: int) -> None:
    generator = torch.Generator().manual_seed(100 + number)
    for parameter in of.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()


def test_with_moments_that_are_kept_as_they_are_it_is_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "pack", lambda values, expand: {"codes": values})
    monkeypatch.setattr(module, "unpack", lambda kept, shape: kept["codes"])
    own, other = named(), named()
    ours = adamw_fp8(own.items(), lr=0.01, weight_decay=0.1)
    adamw = torch.optim.AdamW(list(other.values()), lr=0.01, weight_decay=0.1)
    for number in range(5):
        step(ours, own, number)
        step(adamw, other, number)
    for name in own:
        torch.testing.assert_close(own[name], other[name], rtol=1e-6, atol=1e-7)


def test_its_steps_are_near_adamws_and_small_tensors_take_them_exactly() -> None:
    own, other = named(), named()
    ours = adamw_fp8(own.items(), lr=0.01, weight_decay=0.0)
    adamw = torch.optim.AdamW(list(other.values()), lr=0.01, weight_decay=0.0)
    base = named()
    for number in range(20):
        step(ours, own, number)
        step(adamw, other, number)
    for name in own:
        off = float((own[name] - other[name]).detach().norm() / (other[name] - base[name]).detach().norm())
        assert off < (1e-5 if own[name].numel() < 128 else 0.05), (name, off)
        assert off > 0 or own[name].numel() < 128


def test_a_parameter_takes_two_bytes_and_its_groups_share() -> None:
    own = {"matrix": nn.Parameter(torch.randn(256, 128))}
    optimizer = adamw_fp8(own.items(), lr=0.01, weight_decay=0.0)
    step(optimizer, own, 0)
    state = optimizer.state[own["matrix"]]
    num_bytes = sum(value.numel() * value.element_size() for key, value in state.items() if key != "step")
    assert num_bytes == 256 * 128 * 2 + 2 * 256 * 3 * 4  # 2.1875 a parameter


def test_a_state_that_is_kept_goes_on_bit_for_bit() -> None:
    one, other = named(), named()
    first = adamw_fp8(one.items(), lr=0.01, weight_decay=0.1)
    for number in range(3):
        step(first, one, number)
    second = adamw_fp8(other.items(), lr=0.01, weight_decay=0.1)
    load_optimizer(second, copy.deepcopy(first.state_dict()))
    for name in one:
        other[name].data.copy_(one[name].data)
    for number in range(3, 6):
        step(first, one, number)
        step(second, other, number)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_rehearsal_counts_its_bytes() -> None:
    """Of the states of a pocket model, and at the peak of one whose batch is small."""
    plain = settings.cost("optimizer=adamw", "batch_size=4", "model=pocket")
    packed = settings.cost("optimizer=adamw_fp8", "batch_size=4", "model=pocket")
    share = packed.sizes.optimizer_bytes / plain.sizes.optimizer_bytes
    assert 2.18 / 8 < share < 2.25 / 8
    assert packed.peak_bytes < plain.peak_bytes


def test_a_run_with_it_keeps_the_contract() -> None:
    conformance_of(["optimizer=adamw_fp8"]).require()


def test_a_run_goes_through(tmp_path: Path) -> None:
    assert read_scores(tiny.run(tmp_path, "optimizer=adamw_fp8", "optimizer.expand=false")).finished


def test_what_has_no_meaning_is_refused_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(fomo.FomoError, match=r"optimizer\.expand=2: true or false is expected"):
        tiny.prepared("optimizer=adamw_fp8", "optimizer.expand=2")
    with pytest.raises(fomo.FomoError, match=r"no tensor has 128 entries.*optimizer=adamw\."):
        adamw_fp8([("small", nn.Parameter(torch.zeros(127)))], lr=0.1, weight_decay=0.0)
    config = config_of(("optimizer=adamw_fp8", "runtime.strategy=fsdp"))
    with pytest.raises(fomo.FomoError, match="AdamWFP8 takes steps of whole weights alone"):
        factory.make_optimizer(config)(list(named().items()))
    monkeypatch.delattr(torch, "float8_e4m3fn")
    with pytest.raises(
        fomo.FomoError, match=r"optimizer=adamw_fp8: torch has no float8_e4m3fn on cpu.*optimizer=adamw"
    ):
        tiny.prepared("optimizer=adamw_fp8")
    with pytest.raises(fomo.FomoError, match="no float8_e4m3fn"):
        check_there(torch.device("cpu"), "x", "y")
