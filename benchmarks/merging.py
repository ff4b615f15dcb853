"""What merging costs beside copying: a state dict of ViT-B-16's shapes (150 M parameters) with random values.

    python benchmarks/merging.py

In turns: copying the weights once, EMA-merge into the running merge, TIES of two such models. Printed: processor
seconds of one thread (so that a busy machine counts for little; the smallest of all rounds), the ratio to copying, and
the memory that a merge needs above its inputs at its highest (in a process of its own, which holds the inputs alone).
"""

import functools
import multiprocessing
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import open_clip
import torch

from fomo.model.weights import Weights
from methods.merging.merge import merge

ROUNDS = 5
BARS = {"EMA-merge": 2, "TIES": 20}


@functools.cache
def shapes() -> dict[str, torch.Size]:
    """Names and shapes of the real model, without its weights."""
    network = open_clip.create_model("ViT-B-16", device="meta")
    return {name: value.shape for name, value in network.state_dict().items()}


def models() -> tuple[Weights, Weights, Weights]:
    """θ₀ and two models around it."""
    generator = torch.Generator().manual_seed(0)
    base = {name: torch.randn(shape, generator=generator) * 0.02 for name, shape in shapes().items()}
    old, new = (
        {name: torch.randn(value.shape, generator=generator).mul_(1e-3).add_(value) for name, value in base.items()}
        for _ in range(2)
    )
    return base, old, new


def copy(base: Weights, old: Weights, new: Weights) -> Weights:
    """The yardstick."""
    return {name: value.clone() for name, value in new.items()}


def ema(base: Weights, old: Weights, new: Weights) -> Weights:
    """As after each task of ``method=ema_merge``."""
    return merge("interpolate", [old, new], [0.5, 0.5], out=old)


def ties(base: Weights, old: Weights, new: Weights) -> Weights:
    """Of two models, with the default density of a running merge."""
    return merge("ties", [old, new], [0.5, 0.5], base, density=0.3)


ACTIONS: dict[str, Callable[[Weights, Weights, Weights], Weights]] = {"copying": copy, "EMA-merge": ema, "TIES": ties}


def seconds() -> dict[str, float]:
    """The fastest of all rounds, per action."""
    given, best = models(), dict.fromkeys(ACTIONS, float("inf"))
    for _ in range(ROUNDS):
        for name, action in ACTIONS.items():
            started = time.process_time()
            result = action(*given)
            best[name] = min(best[name], time.process_time() - started)
            del result
    return best


def resident(key: str) -> float:
    """GB of this process now (``VmRSS``), or at its highest (``VmHWM``), as Linux counts them."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024 / 1e9


def peak(name: str) -> float:
    """GB above the inputs at the highest."""
    torch.set_num_threads(1)
    given = models()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the highest so far becomes what it is now
    before = resident("VmRSS")
    ACTIONS[name](*given)
    return resident("VmHWM") - before


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    best = seconds()
    size = sum(shape.numel() for shape in shapes().values())
    print(f"{date.today()}  {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{size / 1e6:.1f} M parameters, fp32; copying once {best['copying']:.3f} s")
    for name, bar in BARS.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            memory = pool.apply(peak, (name,))
        ratio = best[name] / best["copying"]
        print(f"{name:9} {best[name]:6.3f} s, {ratio:5.2f} × copying (bar {bar}), {memory:.2f} GB above the inputs")


if __name__ == "__main__":
    main()
