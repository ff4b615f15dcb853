"""Double descent: does the peak over the number of parameters need an optimizer that gets to its bottom?

    python benchmarks/double_descent.py [--out BASE] [--samples N] [--ratios P/N …] [--seeds S] [--steps K …]

After arXiv 2312.03951 (the peak is there if and only if the optimizer reaches a low enough loss), in the smallest
setting that has closed forms. Random features φ(x) = relu(Wx)/√p, W of standard normal entries over √d, on image
features of the frozen pocket model; linear maps from p of them to the classes, least squares on N images, labels
clean or a fifth of them replaced by another class. Solvers: the minimum-norm least squares; k steps of gradient
descent from 0 at the rate 1/λ₁, in closed form: filter factors 1 − (1 − ηλᵢ)ᵏ, λᵢ the eigenvalues of ΦᵀΦ/N; k steps
of AdamW without decay at the rate 0.3/√p. What differs: no networks are trained. Writes BASE.md and BASE.png.
"""

import argparse
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fomo import rng
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.evaluation.images import Decoder, ImageStream
from fomo.report.board import markdown_row
from fomo.report.figures import figures, png
from fomo.results.statistics import Interval, interval
from fomo.system.writing import write_bytes, write_text
from streams.pocket.datasets import open_pocket

DATASET = "pocket_textured"
NOISES = (0, 20)
"""Percent of the training labels that are replaced."""
ADAM_RATE = 0.3
"""Of AdamW, times 1/√p: features are of size 1/√p, so that a step moves the outputs alike at all widths."""
EXACT = "least squares"
FURTHER = 64
"""Gradient descent goes so many times as far as AdamW too: in closed form that costs nothing."""
PAGE = """![Error over width and over the loss that was reached]({name}.png)

`python benchmarks/double_descent.py`: linear maps of p random features of the frozen `pocket` on {dataset}, {classes}
classes, N = {samples} training images, {held_out} validation images, {seeds} seeds (which images, features, labels).
Error on validation in percent, mean ± half of the 95 % interval over seeds (Student's t); κ is the ratio of the largest
to the smallest singular value of the N × p features, its median.
"""
PEAKS = """## The peak

Error at p = N minus the mean of those at p = N/2 and p = 2N, in points, seed by seed; and the training loss (the
squared error of an image, summed over classes) that the solver has reached at p = N. †: the interval leaves out 0.
"""


@dataclass(frozen=True)
class Problem:
    """Features [n, d] and classes of what is learned from, and of what is judged by; ``classes`` of them."""

    train: Tensor
    labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor
    classes: int


class Row(NamedTuple):
    """What a solver has reached: its training loss, and its error on what is held out, in percent."""

    seed: int
    noise: int
    width: int
    solver: str
    condition: float
    loss: float
    error: float


def pocket_problem() -> Problem:
    """The dataset through the frozen model, centred and scaled by the training images, float64."""
    config = resolve(compose(["model=pocket", "runtime.device=cpu"])).config
    model = factory.model(config)
    model.network.eval()
    names = ("train", "validation")
    splits = [open_pocket(DATASET).split(name) for name in names]
    with torch.inference_mode():
        images = ImageStream(Decoder(names, splits, model.preprocess), 256, config.runtime)
        found = [(split, features.double()) for split, features in images.features(model)]
    train, held_out = (torch.cat([each for split, each in found if split == number]) for number in (0, 1))
    labels = [torch.from_numpy(np.array(split.targets, dtype=np.int64)) for split in splits]
    mean = train.mean(0)
    scale = (train - mean).std()
    centred = [(each - mean) / scale for each in (train, held_out)]
    return Problem(centred[0], labels[0], centred[1], labels[1], len(open_pocket(DATASET).card.classes))


def least_squares(features: Tensor, targets: Tensor) -> Tensor:
    """The minimum-norm solution [p, c] of least squares over features [n, p] and targets [n, c]."""
    left, values, right = torch.linalg.svd(features, full_matrices=False)
    return right.T @ ((left.T @ targets) / values[:, None])


def descended(features: Tensor, targets: Tensor, steps: int) -> Tensor:
    """``steps`` of gradient descent from 0 on ‖Φw − y‖²/2n at the rate 1/λ₁, in closed form: [p, c]."""
    left, values, right = torch.linalg.svd(features, full_matrices=False)
    kept = 1 - (1 - (values / values[0]) ** 2) ** steps
    return right.T @ ((kept / values)[:, None] * (left.T @ targets))


def by_adamw(features: Tensor, targets: Tensor, steps: Sequence[int]) -> dict[int, Tensor]:
    """AdamW without decay from 0 on the same loss, float32: the weights [p, c] after so many steps each."""
    narrow = (features.float(), targets.float())
    weights = torch.zeros(features.shape[1], targets.shape[1], requires_grad=True)
    optimizer = torch.optim.AdamW([weights], lr=ADAM_RATE / math.sqrt(len(weights)), weight_decay=0)
    kept = {}
    for step in range(1, max(steps) + 1):
        weights.grad = narrow[0].T @ (narrow[0] @ weights.detach() - narrow[1]) / len(targets)
        optimizer.step()
        if step in steps:
            kept[step] = weights.detach().double()
    return kept


def solutions(features: Tensor, targets: Tensor, steps: Sequence[int]) -> dict[str, Tensor]:
    """The weights of every solver, by what it is called."""
    budgets = (*steps, FURTHER * max(steps))
    found = {f"descent, {each:,} steps": descended(features, targets, each) for each in budgets}
    found |= {f"AdamW, {each:,} steps": weights for each, weights in by_adamw(features, targets, steps).items()}
    return found | {EXACT: least_squares(features, targets)}


def rows_of(problem: Problem, seed: int, samples: int, widths: Sequence[int], steps: Sequence[int]) -> Iterator[Row]:
    """Every width and solver at one seed; both kinds of labels are solved for at once, as columns.

    Args:
        problem: what is drawn from.
        seed: of which images, which labels are replaced, and the random features.
        samples: images to learn from.
        widths: numbers of random features.
        steps: budgets of the solvers that take steps.
    """
    draw = rng.generator(seed, "double descent")
    chosen = torch.from_numpy(draw.permutation(len(problem.train))[:samples])
    labels = problem.labels[chosen]
    kinds = [replaced(labels, noise / 100, problem.classes, draw) for noise in NOISES]
    one_hot = torch.eye(problem.classes, dtype=torch.float64) - 1 / problem.classes
    targets = torch.cat([one_hot[each] for each in kinds], 1)
    for width in widths:
        matrix = torch.from_numpy(draw.standard_normal((problem.train.shape[1], width))) / math.sqrt(
            len(problem.train.T)
        )
        seen, held_out = (
            torch.relu(each @ matrix) / math.sqrt(width) for each in (problem.train[chosen], problem.held_out)
        )
        values = torch.linalg.svdvals(seen)
        for solver, weights in solutions(seen, targets, steps).items():
            losses = (seen @ weights - targets).square().sum(0).view(len(NOISES), -1).sum(1) / samples
            guesses = (held_out @ weights).view(len(held_out), len(NOISES), -1).argmax(-1)
            errors = (guesses != problem.held_out_labels[:, None]).double().mean(0) * 100
            for noise, loss, error in zip(NOISES, losses, errors, strict=True):
                yield Row(seed, noise, width, solver, float(values[0] / values[-1]), float(loss), float(error))


def replaced(labels: Tensor, share: float, classes: int, draw: np.random.Generator) -> Tensor:
    """Labels, each by chance ``share`` another class, all others alike."""
    away = torch.from_numpy(draw.integers(1, classes, len(labels)) * (draw.random(len(labels)) < share))
    return (labels + away) % classes


def peaks(rows: Sequence[Row], samples: int) -> Mapping[tuple[str, int], tuple[float, Interval]]:
    """By solver and noise: the loss reached at p = n, and the error there minus that around it, seed by seed."""
    found = {}
    errors = {(row.solver, row.noise, row.width, row.seed): row.error for row in rows}
    for solver, noise in dict.fromkeys((row.solver, row.noise) for row in rows):
        at = [row for row in rows if (row.solver, row.noise, row.width) == (solver, noise, samples)]
        around = [fmean(errors[solver, noise, p, row.seed] for p in (samples // 2, samples * 2)) for row in at]
        heights = [row.error - other for row, other in zip(at, around, strict=True)]
        found[solver, noise] = (fmean(row.loss for row in at), interval(heights))
    return found


def page(rows: Sequence[Row], problem: Problem, samples: int, name: str) -> str:
    """The tables in Markdown, below the figure NAME.png."""
    solvers = list(dict.fromkeys(row.solver for row in rows))
    about = {"name": name, "dataset": f"`{DATASET}`", "classes": problem.classes, "samples": samples}
    seeds = len({row.seed for row in rows})
    lines = [PAGE.format(**about, held_out=len(problem.held_out), seeds=seeds)]
    for noise in NOISES:
        lines += [f"## {noise} % of the labels replaced" if noise else "## Clean labels", ""]
        lines += [*table(("p/N", "κ", *solvers), _by_width(rows, noise, solvers, samples)), ""]
    found = peaks(rows, samples)
    cells = [(solver, *(cell for noise in NOISES for cell in _peak(*found[solver, noise]))) for solver in solvers]
    heads = [f"{what}, {noise} %" for noise in NOISES for what in ("loss", "peak")]
    return "\n".join([*lines, PEAKS, *table(("solver", *heads), cells), ""])


def table(heads: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, its columns aligned to the right."""
    return [markdown_row(each) for each in (heads, ["--:"] * len(heads), *rows)]


def _by_width(rows: Sequence[Row], noise: int, solvers: Sequence[str], samples: int) -> Iterator[Sequence[str]]:
    for width, of_width in itertools.groupby((row for row in rows if row.noise == noise), key=lambda row: row.width):
        same = list(of_width)
        errors = [interval([row.error for row in same if row.solver == solver]) for solver in solvers]
        kappa = np.median([row.condition for row in same])
        yield (f"{width / samples:g}", f"{kappa:,.0f}", *(f"{each.mean:.1f}{_half(each)}" for each in errors))


def _half(found: Interval) -> str:
    return "" if found.half_width is None else f" ± {found.half_width:.1f}"


def _peak(loss: float, height: Interval) -> tuple[str, str]:
    told = height.half_width is not None and abs(height.mean) > height.half_width
    return f"{loss:.3f}", f"{height.mean:+.1f}{_half(height)}{' †' if told else ''}"


def draw_figure(rows: Sequence[Row], samples: int) -> bytes:
    """A PNG: above clean labels, below replaced ones; error over width, and over the loss that was reached."""
    solvers = list(dict.fromkeys(row.solver for row in rows))
    with figures() as Figure:
        drawing = Figure(figsize=(11, 8), layout="constrained")
        for axes, noise in zip(drawing.subplots(len(NOISES), 2, sharey=True), NOISES, strict=True):
            for number, solver in enumerate(solvers):
                of = [row for row in rows if row.noise == noise and row.solver == solver]
                look = {"color": "k" if solver == EXACT else f"C{number}"}
                widths = sorted({row.width for row in of})
                means = [fmean(row.error for row in of if row.width == width) for width in widths]
                axes[0].plot([width / samples for width in widths], means, "o-", ms=4, label=solver, **look)
                axes[1].plot([max(row.loss, 1e-6) for row in of], [row.error for row in of], "o", ms=3, **look)
            axes[0].axvline(1, color="0.8", zorder=0)
            axes[0].set_xscale("log", base=2)
            axes[0].set(xlabel="p / N", ylabel="validation error [%]", title=f"{noise} % of labels replaced")
            axes[1].set(xscale="log", xlabel="training loss that was reached (below 1e-6: at 1e-6)")
            axes[0].legend(fontsize="x-small")
        return png(drawing)


def main() -> None:
    """Solve, write and print where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/study/double_descent"))
    parser.add_argument("--samples", type=int, default=240)
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.125, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 4, 8])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 400, 1600])
    options = parser.parse_args()
    if not {0.5, 1, 2} <= set(options.ratios) or options.samples % 2:
        parser.error("the peak is read at 0.5, 1 and 2 of an even number of samples: keep these ratios.")
    problem = pocket_problem()
    widths = [round(options.samples * ratio) for ratio in sorted(options.ratios)]
    found = [
        row for seed in range(options.seeds) for row in rows_of(problem, seed, options.samples, widths, options.steps)
    ]
    found.sort(key=lambda row: (row.width, row.seed))
    write_bytes(options.out.with_suffix(".png"), draw_figure(found, options.samples))
    write_text(options.out.with_suffix(".md"), page(found, problem, options.samples, options.out.name))
    print(options.out.with_suffix(".md"))


if __name__ == "__main__":
    main()
