"""MT-AdamW against explicit NumPy steps, and against AdamW where it has to be AdamW."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fomo
from fomo.results.scores_file import read_scores
from methods.mt_adamw import MTAdamW
from tests import tiny

SHARES = (0.5, 0.25, 0.25)
POOLS = (0, 1, 2, 0, 1, 0, 2)


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in ((4, 3), (5,), ())]


def gradient(step: int, shape: torch.Size) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 + step)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * 10.0**step


def test_it_takes_the_steps_of_the_paper_written_out_in_numpy() -> None:
    own = parameters()
    optimizer = MTAdamW(own, lr=0.01, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6, weights={"update": 3.0})
    theirs = [p.detach().numpy().copy() for p in own]
    first = [np.zeros_like(p) for p in theirs]
    second = [np.zeros_like(p) for p in theirs]
    for t, pool in enumerate(POOLS, start=1):
        for parameter in own:
            parameter.grad = gradient(t, parameter.shape)
        optimizer.see([8 if each == pool else 0 for each in range(3)], SHARES)
        optimizer.step()
        gradients = [gradient(t, p.shape).numpy() for p in own]
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        omega = 3.0 if pool == 1 else 1.0
        for i, g in enumerate(gradients):
            g = omega * g / norm
            first[i] = 0.8 * first[i] + 0.2 / SHARES[pool] * g
            second[i] = 0.95 * second[i] + 0.05 / SHARES[pool] * g**2
            direction = first[i] / (1 - 0.8**t) / (np.sqrt(second[i] / (1 - 0.95**t)) + 1e-6)
            theirs[i] = theirs[i] - 0.01 * (direction + 0.1 * theirs[i])
        for mine, other in zip(own, theirs, strict=True):
            np.testing.assert_allclose(mine.detach().numpy(), other, rtol=1e-12)


def test_of_one_pool_it_is_adamw_on_normalised_gradients() -> None:
    own = parameters()
    other = parameters()
    ours = MTAdamW(own, lr=0.01, weight_decay=0.1)
    adamw = torch.optim.AdamW(other, lr=0.01, weight_decay=0.1)
    for step in range(5):
        gradients = [gradient(step, p.shape) for p in own]
        norm = torch.nn.utils.get_total_norm(gradients)
        for a, b, each in zip(own, other, gradients, strict=True):
            a.grad = each * 7.0  # how long it is does not matter
            b.grad = each / norm
        ours.see((9, 0, 0), (1.0, 0.0, 0.0))
        ours.step()
        adamw.step()
    for a, b in zip(own, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_the_mean_of_the_moments_does_not_depend_on_the_shares() -> None:
    """Pools of constant gradients, drawn by their shares: the average of m over steps is the sum of the pools'."""
    directions = torch.eye(3, dtype=torch.float64)
    means = []
    for shares in ((0.6, 0.3, 0.1), (0.1, 0.3, 0.6)):
        parameter = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        optimizer = MTAdamW([parameter], lr=0.0, betas=(0.9, 0.9))
        steps = np.repeat([0, 1, 2], [round(share * 1000) for share in shares])
        moments = []
        for pool in np.random.default_rng(0).permutation(steps):
            parameter.grad = directions[pool].clone()
            optimizer.see([int(each == pool) for each in range(3)], shares)
            optimizer.step()
            moments.append(optimizer.state[parameter]["exp_avg"].clone())
        means.append(torch.stack(moments).mean(0))
    torch.testing.assert_close(means[0], torch.ones(3, dtype=torch.float64), rtol=0.03, atol=0)
    torch.testing.assert_close(means[0], means[1], rtol=0.03, atol=0)


def test_a_gradient_of_zero_is_no_number_that_is_not_finite() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.zeros(2)
    optimizer = MTAdamW([parameter], lr=0.1)
    optimizer.see((0, 4, 0), SHARES)
    optimizer.step()
    assert torch.equal(parameter, torch.ones(2))


def test_it_runs_on_unmixed_batches_and_refuses_mixed_ones_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(fomo.FomoError, match=r"one pool each, and mixture\.batches=mixed"):
        tiny.prepared("optimizer=mt_adamw")
    run = tiny.run(tmp_path / "run", "optimizer=mt_adamw", "mixture.batches=unmixed", "budget.steps=8")
    assert read_scores(run).finished
    with pytest.raises(fomo.FomoError, match="rows of P, D and B"):
        MTAdamW(parameters(), lr=0.1).see((1, 2, 0), SHARES)


@pytest.mark.parametrize("weights", [{"new": 1.0}, {"update": 0.0}, {"update": float("nan")}, {"update": True}])
def test_weights_without_a_meaning_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(fomo.FomoError, match=r"optimizer\.weights"):
        MTAdamW(parameters(), lr=0.1, weights=weights)
