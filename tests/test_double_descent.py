"""The benchmark of double descent: its solvers against closed forms, and its page at a tiny size."""

import re
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.double_descent import (
    ADAM_RATE,
    EXACT,
    Problem,
    Row,
    by_adamw,
    descended,
    draw_figure,
    least_squares,
    main,
    page,
    peaks,
    replaced,
    rows_of,
)
from fomo import rng


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "p"), [(20, 8), (20, 20), (20, 50)])
def test_least_squares_is_the_pseudo_inverse(n: int, p: int) -> None:
    features = gaussian(n, p)
    targets = gaussian(n, 3, seed=1)
    torch.testing.assert_close(least_squares(features, targets), torch.linalg.pinv(features) @ targets)


def test_the_variance_of_least_squares_peaks_where_parameters_are_as_many_as_samples() -> None:
    """Of pure noise E‖w‖² is p/(n−p−1) below n, n/(p−n−1) above it (Hastie et al. 2022, arXiv 1903.08560)."""
    n = 30
    expected = {10: 10 / 19, 20: 20 / 9, 45: 30 / 14, 90: 30 / 59}
    found = {}
    for p in (*expected, n):
        norms = [
            least_squares(gaussian(n, p, seed=seed), gaussian(n, 1, seed=9999 + seed)).square().sum()
            for seed in range(400)
        ]
        found[p] = float(torch.stack(norms).median() if p == n else torch.stack(norms).mean())
    for p, value in expected.items():
        assert found[p] == pytest.approx(value, rel=0.12)
    assert found[n] > 3 * max(found[p] for p in expected)


@pytest.mark.parametrize("p", [6, 12, 30])
def test_descent_is_what_the_steps_of_sgd_come_to(p: int) -> None:
    features = gaussian(12, p)
    targets = gaussian(12, 2, seed=1)
    rate = 12 / float(torch.linalg.matrix_norm(features, 2)) ** 2
    weights = torch.zeros(p, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr=rate)
    for step in range(1, 51):
        optimizer.zero_grad()
        ((features @ weights - targets).square().sum() / 24).backward()
        optimizer.step()
        torch.testing.assert_close(weights.detach(), descended(features, targets, step))


def test_descent_without_end_is_least_squares() -> None:
    features = gaussian(10, 25)
    targets = gaussian(10, 2, seed=1)
    torch.testing.assert_close(descended(features, targets, 10**6), least_squares(features, targets))


def test_adamw_takes_its_first_step_by_the_sign_and_ends_at_the_solution() -> None:
    features = gaussian(8, 16)
    targets = gaussian(8, 2, seed=1)
    first = by_adamw(features, targets, [1, 3000])
    signs = (features.T @ targets).sign() * ADAM_RATE / 4
    torch.testing.assert_close(first[1], signs, rtol=1e-4, atol=1e-6)
    assert float((features @ first[3000] - targets).abs().max()) < 0.05


def test_a_replaced_label_is_another_class() -> None:
    labels = torch.arange(5).repeat(2000)
    changed = replaced(labels, 0.2, 5, rng.generator(0, "test"))
    assert float((changed != labels).double().mean()) == pytest.approx(0.2, abs=0.02)
    assert int(changed.min()) == 0 and int(changed.max()) == 4
    assert replaced(labels, 0, 5, rng.generator(0, "test")).equal(labels)


def test_the_peak_is_read_by_hand() -> None:
    """Around it 20 and 40, at it 50 and 70 of two seeds: heights 20 and 40, ± 12.706·20/2 of their mean."""
    errors = {(2, 0): 20, (2, 1): 20, (4, 0): 50, (4, 1): 70, (8, 0): 40, (8, 1): 40}
    rows = [Row(seed, 0, width, EXACT, 1, 0.5 * seed, error) for (width, seed), error in errors.items()]
    loss, height = peaks(rows, 4)[EXACT, 0]
    assert (loss, height.mean) == (0.25, 30) and height.half_width == pytest.approx(127.06, abs=0.01)


def test_the_page_has_every_width_and_solver_and_the_peak_of_least_squares() -> None:
    """Gaussian classes: least squares errs most at p = n, and a few steps of descent do not."""
    centres = gaussian(3, 20) * 0.5
    labels = torch.arange(300) % 3
    points = centres[labels] + gaussian(300, 20, seed=1)
    problem = Problem(points[:200], labels[:200], points[200:], labels[200:], 3)
    rows = [row for seed in range(3) for row in rows_of(problem, seed, 60, [30, 60, 120], [5, 20])]
    rows.sort(key=lambda row: (row.width, row.seed))
    found = peaks(rows, 60)
    assert found[EXACT, 0][1].mean > 5 and found[EXACT, 0][0] < 1e-12
    assert found["descent, 5 steps", 0][1].mean < found[EXACT, 0][1].mean / 2
    by_loss = [found[f"descent, {steps:,} steps", 0][0] for steps in (5, 20, 1280)]
    assert by_loss == sorted(by_loss, reverse=True)
    text = page(rows, problem, 60, "here")
    assert "(here.png)" in text and "100 validation images, 3 seeds" in text
    assert re.findall(r"^\| ([\d.]+) \|", text, re.MULTILINE) == ["0.5", "1", "2"] * 2
    assert draw_figure(rows, 60)[:4] == b"\x89PNG"


def test_ratios_without_the_peak_are_refused_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["double_descent.py", "--out", str(tmp_path / "x"), "--ratios", "2", "4"])
    with pytest.raises(SystemExit):
        main()
    assert "keep these ratios" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_script_from_the_model_to_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = ["--samples", "24", "--seeds", "1", "--steps", "2", "--ratios", ".5", "1", "2"]
    monkeypatch.setattr(sys, "argv", ["double_descent.py", "--out", str(tmp_path / "x"), *small])
    main()
    assert capsys.readouterr().out.strip() == str(tmp_path / "x.md") and (tmp_path / "x.png").is_file()
    assert "N = 24 training images, 360" in (tmp_path / "x.md").read_text(encoding="utf-8")
