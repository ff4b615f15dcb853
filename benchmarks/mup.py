"""Does the best learning rate of one width serve another? The pocket, over rates, widths and parametrisations.

    python benchmarks/mup.py [--widths 0.5 1 2] [--rates LR …] [--steps N] [--batch-size B] [--samples N] [--seeds S]

Each cell is the mean loss of the last sixth of the steps, the mean over seeds (order of the pool; initial weights are
one draw a width); * is the best rate of its row. By default 128 pairs are learned by heart, which shows in minutes what
a rate does; the recipe is the shipped one without its groups of hard negatives. At width 1 both parametrisations are
one.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from statistics import fmean

from fomo.errors import FomoError
from streams.pocket import datasets
from streams.pocket.pretraining.mup import MUP, STANDARD
from streams.pocket.pretraining.train import PretrainingRecipe, pretrain, shipped_recipe


def final_loss(recipe: PretrainingRecipe) -> float:
    """The mean loss of the last sixth of the steps; infinite where a loss was not finite."""
    losses: list[float] = []
    try:
        pretrain("pocket", recipe, lambda step, loss: losses.append(loss))
    except FomoError:
        return float("inf")
    return fmean(losses[-max(1, len(losses) // 6) :])


def row(recipe: PretrainingRecipe, rates: Sequence[float], seeds: int) -> list[float]:
    """The loss at each rate."""
    return [
        fmean(final_loss(dataclasses.replace(recipe, lr=rate, seed=seed)) for seed in range(seeds)) for rate in rates
    ]


def line(what: str, losses: Sequence[float]) -> str:
    """A row of the table, its best loss marked."""
    return f"{what:<20}" + "".join(f"{loss:>8.3f}{'*' if loss == min(losses) else ' '}" for loss in losses)


def main() -> None:
    """Pretrain and print, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=float, nargs="+", default=[0.5, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=[2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3])
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    sizes = {"num_samples": options.samples, "steps": options.steps, "batch_size": options.batch_size}
    short = dataclasses.replace(shipped_recipe("pocket"), **sizes, warmup=0.1, group=1)
    datasets.draw_ahead([], options.samples)
    print(f"{'rate':<20}" + "".join(f"{rate:>8g} " for rate in options.rates), flush=True)
    for width in options.widths:
        for kind in (STANDARD, MUP)[: 1 if width == 1 else 2]:
            recipe = dataclasses.replace(short, width=width, parametrization=kind)
            what = f"width {width:g}" + ("" if width == 1 else f", {kind}")
            print(line(what, row(recipe, options.rates, options.seeds)), flush=True)


if __name__ == "__main__":
    main()
