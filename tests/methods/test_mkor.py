"""MKOR: its inverses against linear algebra, its steps against NumPy, its switch, and where it is refused."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.config import factory
from fomo.results.scores_file import read_scores
from fomo.testing import conformance_of
from fomo.testing.trial import Trial
from fomo.testing.world import config_of, world
from methods.mkor import MKOR, mkor
from methods.mkor.inverses import exact, preconditioned, printed, stabilised
from tests import tiny


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positive(size: int, seed: int = 0) -> Tensor:
    root = drawn(size, size, seed=seed)
    return root @ root.T + torch.eye(size, dtype=torch.float64)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_exact_is_the_inverse_and_printed_is_not(decay: float) -> None:
    factor = positive(6)
    vector = drawn(6, seed=1)
    expected = torch.linalg.inv(decay * factor + (1 - decay) * torch.outer(vector, vector))
    inverse = torch.linalg.inv(factor)
    torch.testing.assert_close(exact(inverse, vector, decay), expected, rtol=1e-10, atol=1e-12)
    off = (printed(inverse, vector, decay) - expected).norm() / expected.norm()
    assert off > 0.01


def test_printed_is_what_the_paper_prints_and_lengthens_steps_along_the_mean() -> None:
    inverse = torch.diag(torch.tensor([2.0, 1.0], dtype=torch.float64))
    vector = torch.tensor([1.0, 0.0], dtype=torch.float64)
    # γ = 1/2: vᵀL⁻¹v = 2, the factor (1/2) / (1/4 · (1 + 1/4 · 2)) = 4/3; L⁻¹vvᵀL⁻¹ = diag(4, 0)
    expected = torch.diag(torch.tensor([0.5 * 2 + 4 / 3 * 4, 0.5], dtype=torch.float64))
    torch.testing.assert_close(printed(inverse, vector, 0.5), expected)
    assert exact(inverse, vector, 0.5)[0, 0] < inverse[0, 0] < printed(inverse, vector, 0.5)[0, 0]


def test_a_quadratic_with_a_kronecker_hessian_is_stepped_straight_to_its_minimum() -> None:
    left = positive(4)
    right = positive(3, seed=1)
    away = drawn(4, 3, seed=2)  # W − W*; the gradient of ½⟨W − W*, L (W − W*) R⟩ is L (W − W*) R
    gradient = left @ away @ right
    step = preconditioned(gradient, torch.linalg.inv(left), torch.linalg.inv(right))
    torch.testing.assert_close(step / step.norm(), away / away.norm())
    torch.testing.assert_close(step.norm(), gradient.norm())


def test_an_inverse_with_a_large_entry_is_drawn_to_the_identity() -> None:
    inverse = torch.tensor([[1.0, -3.0], [0.5, 1.5]])
    torch.testing.assert_close(stabilised(inverse, 2.0, 0.9), 0.9 * inverse + 0.1 * torch.eye(2))
    assert torch.equal(stabilised(inverse, 3.0, 0.9), inverse)


def network() -> nn.Sequential:
    made = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    for number, parameter in enumerate(made.parameters()):
        parameter.data = drawn(*parameter.shape, seed=number)
    return made


def made(of: nn.Module, **settings: object) -> MKOR:
    chosen = {"lr": 0.1, "weight_decay": 0.0, "name": "momentum", "options": {"momentum": 0.0}, "update_every": 2}
    optimizer = mkor(list(of.named_parameters()), **(chosen | settings))  # type: ignore[arg-type]
    assert isinstance(optimizer, MKOR)
    optimizer.listen(of)
    return optimizer


def step(of: nn.Module, optimizer: MKOR, number: int, rows: int = 7) -> None:
    optimizer.zero_grad()
    loss = (of(drawn(rows, 3, seed=50 + number)) ** 2).mean()
    loss.backward()
    optimizer.hear(loss.detach())
    optimizer.step()


def test_it_takes_the_steps_of_the_paper_written_out_in_numpy() -> None:
    """Two layers, five steps, factors kept as themselves and inverted by NumPy where they are needed."""
    own = network()
    optimizer = made(own, factor_decay=0.8, bound=1e9)
    weights = [p.detach().numpy().copy() for p in own.parameters()]
    factors = [[np.eye(5), np.eye(3)], [np.eye(2), np.eye(5)]]
    for number in range(5):
        step(own, optimizer, number)
        inputs = drawn(7, 3, seed=50 + number).numpy()
        hidden = np.tanh(inputs @ weights[0].T + weights[1])
        at_output = 2 * (hidden @ weights[2].T + weights[3]) / (7 * 2)
        at_hidden = (at_output @ weights[2]) * (1 - hidden**2)
        for layer, (rows, gradient) in enumerate(((inputs, at_hidden), (hidden, at_output))):
            if number % 2 == 0:
                for side, mean in enumerate((gradient.sum(0), rows.mean(0))):
                    factors[layer][side] = 0.8 * factors[layer][side] + 0.2 * np.outer(mean, mean)
            of_weight = gradient.T @ rows
            found = np.linalg.inv(factors[layer][0]) @ of_weight @ np.linalg.inv(factors[layer][1])
            weights[2 * layer] -= 0.1 * found * np.linalg.norm(of_weight) / np.linalg.norm(found)
            weights[2 * layer + 1] -= 0.1 * gradient.sum(0)
        for parameter, expected in zip(own.parameters(), weights, strict=True):
            np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def test_gradients_are_left_as_they_were_and_nobody_listens_between_steps() -> None:
    own = network()
    optimizer = made(own)
    plain = network()
    (plain(drawn(7, 3, seed=50)) ** 2).mean().backward()
    step(own, optimizer, 0)
    for one, other in zip(own.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert not any(module._forward_pre_hooks for module in own.modules())


def test_a_state_that_is_kept_goes_on_bit_for_bit() -> None:
    one = network()
    first = made(one, name="adamw", options={}, min_fall=0.5, window=2)
    for number in range(3):
        step(one, first, number)
    other = network()
    other.load_state_dict(one.state_dict())
    second = made(other, name="adamw", options={}, min_fall=0.5, window=2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for number in range(3, 8):
        step(one, first, number)
        step(other, second, number)
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_the_hybrid_goes_back_to_the_first_order_optimizer_where_the_loss_falls_too_slowly() -> None:
    on = network()
    optimizer = made(on, min_fall=0.1, window=2)
    for number in range(2):
        step(on, optimizer, number)
        optimizer.param_groups[0] |= {"loss": torch.tensor(1.0), "loss_before": torch.tensor(1.0)}
    before = {name: p.detach().clone() for name, p in on.named_parameters()}
    step(on, optimizer, 2)  # hears that the average has not fallen by a tenth
    for name, parameter in on.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.detach(), before[name] - 0.1 * parameter.grad)


def test_a_loss_that_falls_fast_enough_leaves_it_on() -> None:
    own = network()
    optimizer = made(own, min_fall=0.1, window=2)
    for loss in (4.0, 3.0, 0.1, 0.1, 0.01):  # the average: 4, 3.9, 3.52, 3.178, 2.861
        optimizer.hear(torch.tensor(loss))
        optimizer.param_groups[0]["num_steps"] += 1
    assert float(optimizer.param_groups[0]["is_on"]) == 1  # 3.52 is 12 % below 4, 2.861 is 19 % below 3.52
    optimizer.param_groups[0]["num_steps"] += 1
    optimizer.hear(torch.tensor(2.8))
    assert float(optimizer.param_groups[0]["is_on"]) == 0


@pytest.mark.parametrize("overrides", ["optimizer=mkor", "optimizer=mkor optimizer.min_fall=0.5 optimizer.window=2"])
def test_a_run_with_it_keeps_the_contract(overrides: str) -> None:
    """Exact on resume, charged as planned, the same in pieces."""
    conformance_of([*overrides.split(), "optimizer.update_every=2"]).require()


def inverses(folder: Path, micro_batch: int | None = None, recomputing: bool = False) -> dict[str, Tensor]:
    """L⁻¹ and R⁻¹ of every layer after a step in fp64, by parameter and side."""
    config = config_of(("optimizer=mkor",))
    make = factory.make_optimizer(config)
    trial = Trial(world().in_double(), lambda: factory.methods(config).parts, make, folder, micro_batch=micro_batch)
    trial.network.set_grad_checkpointing(recomputing)  # type: ignore[operator]  # open_clip's
    trial.begin(1)
    trial.steps(1, stop=1)
    assert trial.optimizer is not None
    state = {name: trial.optimizer.state[parameter] for name, parameter in trial.network.named_parameters()}
    return {f"{name} {side}": of[side] for name, of in state.items() for side in ("left", "right") if side in of}


def test_inverses_are_the_same_in_pieces_of_a_batch_and_where_activations_are_computed_again(tmp_path: Path) -> None:
    whole = inverses(tmp_path)
    names = {name.split()[0] for name in whole}
    assert names and all("mlp" in name or "head" in name or "proj" in name for name in names), names
    for other in (inverses(tmp_path, micro_batch=5), inverses(tmp_path, recomputing=True)):
        assert whole.keys() == other.keys()
        for name, value in whole.items():
            torch.testing.assert_close(other[name], value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("update=other", "exact, printed"),
        ("update_every=0", "integers from 1"),
        ("factor_decay=1.0", "above 0 and below 1"),
        ("keep=1.5", "from 0 to 1"),
        ("bound=0.5", "from 1"),
        ("min_fall=-0.1", "null, and numbers from 0"),
        ("window=0", "integers from 1"),
        ("name=adahessian", "second derivatives"),
    ],
)
def test_settings_without_a_meaning_are_refused_before_the_first_step(setting: str, says: str) -> None:
    with pytest.raises(fomo.FomoError, match=says):
        tiny.prepared("optimizer=mkor", f"optimizer.{setting}")


@pytest.mark.parametrize("trainable", ["lora", "lnfit", "bitfit"])
def test_it_is_refused_where_no_linear_layer_is_trained(trainable: str) -> None:
    """Adapters are attached when a task begins: by the rehearsal."""
    with pytest.raises(fomo.FomoError, match="no linear layer has its weight and its bias"):
        tiny.prepared("optimizer=mkor", f"trainable={trainable}", *tiny.COUNTED)
    if trainable != "lora":
        with pytest.raises(fomo.FomoError, match="no linear layer has its weight and its bias"):
            tiny.prepared("optimizer=mkor", f"trainable={trainable}")


def test_it_is_refused_where_weights_are_parted() -> None:
    config = config_of(("optimizer=mkor", "runtime.strategy=fsdp"))
    with pytest.raises(fomo.FomoError, match=r"MKOR takes steps of whole weights alone.*runtime\.strategy=ddp"):
        factory.make_optimizer(config)(list(network().named_parameters()))


def test_a_run_goes_through(tmp_path: Path) -> None:
    assert read_scores(tiny.run(tmp_path, "optimizer=mkor", "optimizer.update=printed")).finished
