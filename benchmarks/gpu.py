"""What a step takes on a GPU, beside bare PyTorch: the same model, batch and precision, in one process.

    python benchmarks/gpu.py [--model ViT-B-16] [--batch-size 512] [--write]

Printed: milliseconds a step (median), MFU at the protocol's FLOPs (77 tokens, whole layers) and at those that are
computed, peak memory, and the ratio to bare PyTorch, whose step is what one would write by hand: open_clip's model
under autocast, its loss, a clipped gradient and fused AdamW. Captions have 12 tokens. ``--write`` leaves a dated file
beside this one. On a CPU it runs at a tiny size.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import open_clip
import torch
from torch import nn

from fomo.batch import Batch
from fomo.budget.flops import FlopMeter, charged, unmetered
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import Config, resolve
from fomo.method import Task
from fomo.model.clip import train_mode
from fomo.model.fast import shortest
from fomo.system.determinism import deterministic
from fomo.system.devices import device_name, peak, synchronize
from fomo.training.step import Learner

WORDS = 12
VARIANTS = {
    "fomo": (),
    "fomo, not deterministic": ("runtime.deterministic=false",),
    "fomo, compiled": ("runtime.compile=blocks",),
    "fomo, compiled, not deterministic": ("runtime.compile=blocks", "runtime.deterministic=false"),
}
Step = Callable[[], object]


@dataclass(frozen=True)
class Timed:
    """Seconds of a step, the process's first one among them, and bytes at the peak."""

    name: str
    seconds: float
    first: float
    peak_bytes: int


def configured(arguments: argparse.Namespace, *overrides: str) -> Config:
    """Fine-tuning of the model with random weights."""
    model = [f"model={arguments.model}", *(["model.pretrained=null"] if arguments.model[:6] != "pocket" else [])]
    device = f"runtime.device={arguments.device}"
    return resolve(compose([*model, f"batch_size={arguments.batch_size}", device, "budget=steps", *overrides])).config


def batch_of(config: Config, learner: Learner, image_size: int) -> Batch:
    """Random images and captions of :data:`WORDS` tokens."""
    rows = config.batch_size
    torch.manual_seed(0)
    context: int = learner.network.context_length  # type: ignore[assignment]
    tokens = torch.zeros(rows, context, dtype=torch.long)
    tokens[:, :WORDS] = torch.randint(1, 900, (rows, WORDS))
    tokens[:, WORDS - 1] = 49407
    images = torch.randn(rows, 3, image_size, image_size)
    num_tokens = shortest(learner.network, tokens)
    device = config.runtime.device
    return Batch(images.to(device), tokens.to(device), (0, rows, 0), num_tokens=num_tokens)


def bare_step(config: Config) -> Step:
    """What one would write by hand."""
    device = config.runtime.device
    network = open_clip.create_model(config.model["name"]).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, weight_decay=0.2, fused=True)
    loss_function = open_clip.loss.ClipLoss()
    made = batch_of(config, replace(factory.learner(config, network)), network.visual.image_size[0])

    def step() -> None:
        with config.runtime.autocast():
            loss = loss_function(*network(made.images, made.tokens))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def our_step(config: Config, counted: bool = False) -> Step:
    """A step of the product; ``counted``: one whose FLOPs are counted."""
    model = factory.model(config)
    learner = factory.learner(config, model.network)
    learner.methods.begin_run(model.network, 0)
    learner.methods.each("begin_task", model.network, Task(1, 2, 100, 0))
    optimizer = learner.optimizer()
    assert optimizer is not None
    train_mode(model.network)
    made = batch_of(config, learner, model.image_size)
    return lambda: learner.step(optimizer, made, FlopMeter() if counted else unmetered)


def flops(config: Config, short: bool) -> int:
    """FLOPs of a step: of the protocol, or, if ``short``, of what is computed in its place."""
    from unittest.mock import patch

    from fomo.model import fast

    on_host = replace(
        config, batch_size=2, runtime=replace(config.runtime, device="cpu", precision="fp32", compile=None)
    )
    model = factory.model(on_host)
    learner = factory.learner(on_host, model.network)
    made = batch_of(on_host, learner, model.image_size)
    meter = FlopMeter()
    with patch.object(fast, "is_counting", lambda: not short), meter("step"):
        features = model.network(made.images, made.tokens[:, : made.num_tokens if short else None])
        (features[0].sum() + features[1].sum()).backward()
    return charged(meter.phases) * config.batch_size // 2 + 6 * config.batch_size**2 * features[0].shape[1]


def timed(name: str, config: Config, make: Callable[[], Step], repeats: int) -> Timed:
    """A step's median time once it is warm."""
    device = config.runtime.device
    with deterministic(config.runtime.deterministic and name != "bare"):
        step = make()
        first = seconds_of(step, device)
        seconds_of(step, device)
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        taken = statistics.median(seconds_of(step, device) for _ in range(repeats))
    top = torch.cuda.max_memory_allocated() if device.startswith("cuda") else 0
    return Timed(name, taken, first, top)


def seconds_of(step: Step, device: str) -> float:
    synchronize(device)
    start = time.perf_counter()
    step()
    synchronize(device)
    return time.perf_counter() - start


def profiled(step: Step, device: str) -> str:
    """Where the device's time of a step goes."""
    for _ in range(2):
        step()
    synchronize(device)
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as found:
        step()
        synchronize(device)
    return str(found.key_averages().table(sort_by="self_cuda_time_total", row_limit=45, max_name_column_width=90))


def table(rows: list[Timed], config: Config) -> list[str]:
    """A line each."""
    best = peak(config.runtime.device, config.runtime.precision)
    padded, computed = flops(config, short=False), flops(config, short=True)
    lines = [f"{padded / 1e9:,.0f} GFLOPs a step by the protocol, {computed / 1e9:,.0f} computed; peak {best.source}"]
    for row in rows:
        share = padded / row.seconds / best.flops_per_second
        own = (padded if row.name == "bare" else computed) / row.seconds / best.flops_per_second
        ratio = rows[0].seconds / row.seconds
        memory = f"{row.peak_bytes / 2**30:5.1f} GiB" if row.peak_bytes else ""
        lines.append(
            f"{row.name:36s} {1000 * row.seconds:7.1f} ms  ×{ratio:5.2f}  MFU {share:5.1%} padded {own:5.1%} computed "
            f" first step {row.first:5.1f} s  {memory}"
        )
    return lines


def main() -> None:
    """Measure, print, maybe write."""
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--model", default="ViT-B-16" if on_gpu else "ViT-S-32-alt")
    parser.add_argument("--batch-size", type=int, default=512 if on_gpu else 4)
    parser.add_argument("--repeats", type=int, default=8 if on_gpu else 2)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS) if on_gpu else ["fomo"], choices=VARIANTS)
    parser.add_argument("--profile", action="store_true", help="print where the time of a step goes, and nothing else")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    plain = configured(arguments)
    if arguments.profile:
        for name in arguments.variants:
            config = configured(arguments, *VARIANTS[name])
            with deterministic(config.runtime.deterministic):
                print(name, profiled(our_step(config), arguments.device), sep="\n", flush=True)
        return
    rows = [timed("bare", plain, lambda: bare_step(plain), arguments.repeats)]
    for name in arguments.variants:
        config = configured(arguments, *VARIANTS[name])
        rows.append(timed(name, config, lambda config=config: our_step(config), arguments.repeats))
    rows.append(timed("fomo, a counted step", plain, lambda: our_step(plain, counted=True), 2))
    python = platform.python_version()
    about = f"{device_name(arguments.device)}, torch {torch.__version__}, Python {python}, {date.today()}"
    lines = [
        f"{arguments.model}, batch {arguments.batch_size}, {plain.runtime.precision}; {about}",
        *table(rows, plain),
    ]
    print("\n".join(lines))
    if arguments.write:
        file = Path(__file__).with_name(f"gpu_{date.today()}.txt")
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
