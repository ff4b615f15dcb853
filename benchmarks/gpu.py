"""What a step and a run take on a GPU, beside bare PyTorch and, if asked for, open_clip's own training script.

    python benchmarks/gpu.py [--model ViT-B-16] [--batch-size 512] [--open-clip PYTHON] [--write]

Of a step: milliseconds (median), MFU at the protocol's FLOPs (77 tokens, whole layers) and at those that are
computed, memory at the peak, and the ratio to bare PyTorch, which is what one would write by hand: open_clip's model
under autocast, its loss, a clipped gradient and fused AdamW. Captions have 12 tokens. Of a run of 80 steps in two
tasks: its rate beside that of a steady step, from shards of JPEGs of 256 pixels. ``--open-clip`` names a Python whose
environment has open_clip's training script and webdataset below 1.0. ``--write`` leaves ``gpu-DATE.txt`` beside this
file. On a CPU all of it runs at a tiny size, the script apart.
"""

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from unittest.mock import patch

import open_clip
import torch
from pictures import photo
from torch import nn

from fomo.batch import Batch, cut_at
from fomo.budget.flops import FlopMeter, charged, unmetered
from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import Config, Resolved, resolve
from fomo.method import Task
from fomo.model import fast
from fomo.model.clip import train_mode
from fomo.running.run import Nobody, execute, prepare
from fomo.system.determinism import deterministic
from fomo.system.devices import Peak, device_name, peak, synchronize
from fomo.system.workers import num_cores
from fomo.training.step import Learner

WORDS = 12
COMPILED = ("runtime.compile=blocks",)
QUICKEST = (*COMPILED, "runtime.deterministic=false")
VARIANTS = {
    "fomo": (),
    "fomo, not deterministic": ("runtime.deterministic=false",),
    "fomo, compiled": COMPILED,
    "fomo, compiled, not deterministic": QUICKEST,
}
Step = Callable[[], object]


@dataclass(frozen=True)
class Timed:
    """Seconds of a step and of the process's first one, and bytes at the peak."""

    seconds: float
    first: float = 0.0
    peak_bytes: int = 0


def resolved(options: argparse.Namespace, *overrides: str) -> Resolved:
    """Fine-tuning of the model with random weights."""
    model = [f"model={options.model}", *(["model.pretrained=null"] if options.model[:6] != "pocket" else [])]
    device = f"runtime.device={options.device}"
    return resolve(compose([*model, f"batch_size={options.batch_size}", device, "budget=steps", *overrides]))


def batch_of(config: Config, network: nn.Module, image_size: int) -> Batch:
    """Random images and captions of :data:`WORDS` tokens."""
    rows = config.batch_size
    torch.manual_seed(0)
    context: int = network.context_length  # type: ignore[assignment]
    tokens = torch.zeros(rows, context, dtype=torch.long)
    tokens[:, :WORDS] = torch.randint(1, 900, (rows, WORDS))
    tokens[:, WORDS - 1] = network.vocab_size - 1  # type: ignore[operator]
    images = torch.randn(rows, 3, image_size, image_size)
    num_tokens = fast.shortest(network, tokens)
    device = config.runtime.device
    there = tokens.to(device)
    return Batch(images.to(device), there, (0, rows, 0), cut=cut_at(num_tokens, there))


def bare_step(config: Config) -> Step:
    """What one would write by hand."""
    model = factory.model_shapes(config)
    form = dict(model.architecture)
    network = open_clip.CLIP(form["embed_dim"], form["vision_cfg"], form["text_cfg"], form.get("quick_gelu", False))
    network.to(config.runtime.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, weight_decay=0.2, fused=True)
    loss_function = open_clip.loss.ClipLoss()
    made = batch_of(config, network, model.image_size)

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
    learner: Learner = factory.learner(config, model.network)
    learner.methods.begin_run(model.network, 0)
    learner.methods.each("begin_task", model.network, Task(1, 2, 100, 0))
    optimizer = learner.optimizer()
    assert optimizer is not None
    train_mode(model.network)
    made = batch_of(config, model.network, model.image_size)
    return lambda: learner.step(optimizer, made, FlopMeter() if counted else unmetered)


def flops(config: Config, short: bool) -> int:
    """FLOPs of a step: of the protocol, or, if ``short``, of what is computed in its place."""
    runtime = replace(config.runtime, device="cpu", precision="fp32", compile=None)
    two_rows = replace(config, batch_size=2, runtime=runtime)
    model = factory.model(two_rows)
    made = batch_of(two_rows, model.network, model.image_size)
    meter = FlopMeter()
    with patch.object(fast, "is_counting", lambda: not short), meter("step"):
        images, texts, _ = model.network(made.images, made.short_tokens if short else made.tokens)
        (images.sum() + texts.sum()).backward()
    return charged(meter.phases) * config.batch_size // 2 + 6 * config.batch_size**2 * images.shape[1]


def timed(config: Config, make: Callable[[], Step], repeats: int) -> Timed:
    """A step's median time once it is warm."""
    device = config.runtime.device
    step = make()
    first = seconds_of(step, device)
    seconds_of(step, device)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    taken = statistics.median(seconds_of(step, device) for _ in range(repeats))
    top = torch.cuda.max_memory_allocated() if device.startswith("cuda") else 0
    del step
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    return Timed(taken, first, top)


def seconds_of(step: Step, device: str) -> float:
    """Until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    step()
    synchronize(device)
    return time.perf_counter() - start


def steps(options: argparse.Namespace, best: Peak, config: Config) -> Iterator[str]:
    """A line for each way to take a step."""
    padded = flops(config, short=False)
    computed = flops(config, short=True)
    yield f"{padded / 1e9:,.6g} GFLOPs a step by the protocol, {computed / 1e9:,.6g} computed; peak: {best.source}"
    bare = timed(config, lambda: bare_step(config), options.repeats)
    yield line("bare PyTorch", bare, bare, padded, padded, best)
    for name in options.variants:
        variant = resolved(options, *VARIANTS[name]).config
        with deterministic(variant.runtime.deterministic):
            ours = timed(variant, lambda variant=variant: our_step(variant), options.repeats)
        yield line(name, ours, bare, padded, computed, best)
    with deterministic(True):
        counted = timed(config, lambda: our_step(config, counted=True), 2)
    yield line("fomo, a step that is counted", counted, bare, padded, padded, best)


def line(name: str, row: Timed, bare: Timed, padded: int, computed: int, best: Peak) -> str:
    """A row of the table."""
    shares = [f"{each / row.seconds / best.flops_per_second:6.1%}" for each in (padded, computed)]
    memory = f"{row.peak_bytes / 2**30:5.1f} GiB" if row.peak_bytes else "        -"
    ratio = bare.seconds / row.seconds
    return (
        f"{name:34s}{1000 * row.seconds:8.1f} ms  ×{ratio:5.2f}  MFU {shares[0]} padded, {shares[1]} computed  "
        f"{memory}  first step {row.first:5.1f} s"
    )


def write_pictures(folder: Path, number: int) -> None:
    """Photo-like JPEGs of 256 pixels in 8 classes."""
    for index in range(number):
        place = folder / f"class {index % 8}"
        place.mkdir(parents=True, exist_ok=True)
        picture, _ = photo("gpu benchmark", index, sides=(256, 257), noise=12, quality=88)
        (place / f"{index}.jpg").write_bytes(picture)


class Clock(Nobody):
    """Notes when each step was made."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def step(self, task: int, step: int, loss: float) -> None:
        """Now."""
        self.times.append(time.perf_counter())


def from_shards(options: argparse.Namespace, best: Peak, config: Config) -> Iterator[str]:
    """A run in two tasks, its evaluations of a few hundred images apart."""
    with tempfile.TemporaryDirectory() as root:
        write_pictures(Path(root) / "pictures", options.pictures)
        imported = ("data", "import", "folder", f"{root}/pictures", "--name", "photos", "--out", f"{root}/data")
        subprocess.run([sys.executable, "-m", "fomo", *imported], check=True, stdout=subprocess.DEVNULL)
        stream = ("stream=images", "stream.adaptation=[photos]", f"stream.root={root}/data", "stream.pool_size=0")
        mixture = (
            "stream.retention=[pocket_counting]",
            "mixture.pretraining=0",
            "mixture.update=0.5",
            "mixture.buffer=0.5",
        )
        ways = (f"budget.steps={options.steps}", "num_tasks=2", f"runtime.num_workers={options.workers}")
        compiled = COMPILED if options.device.startswith("cuda") else ()
        run = resolved(options, *stream, *mixture, *ways, *compiled)
        clock = Clock()
        prepared = prepare(run)  # compiles
        execute(prepared, Path(root) / "run", clock)
        compute = json.loads((Path(root) / "run" / "card.json").read_text(encoding="utf-8"))["compute"]
    steady = statistics.median(b - a for a, b in zip(clock.times, clock.times[1:], strict=False))
    rate = options.batch_size / steady
    whole = compute["samples_per_second"]
    how = " ".join(compiled) or "not compiled"
    yield (
        f"from shards, {options.steps} steps in 2 tasks, {options.workers} workers, {how}: {whole:,.0f} samples/s, "
        f"a steady step {1000 * steady:.1f} ms = {rate:,.0f} samples/s, ratio {whole / rate:.3f}"
    )
    share = flops(config, short=False) / steady / best.flops_per_second
    shares = ", ".join(f"{name} {part:.1%}" for name, part in compute["stages"][0]["shares"].items())
    yield f"its steady step: MFU {share:.1%} padded; the run's time: {shares}"


def open_clip_script(options: argparse.Namespace) -> Iterator[str]:
    """open_clip's own training script on its synthetic data: the rate that it logs last."""
    samples = str(options.batch_size * 30)
    size = ("--batch-size", str(options.batch_size), "--train-num-samples", samples, "--epochs", "1")
    with tempfile.TemporaryDirectory() as logs:
        command = (options.open_clip, "-m", "open_clip_train.main", "--model", options.model, "--precision", "amp_bf16")
        data = ("--dataset-type", "synthetic", "--workers", str(options.workers), "--log-every-n-steps", "5")
        done = subprocess.run(
            [*command, *size, *data, "--logs", logs, "--warmup", "1"], capture_output=True, text=True, check=False
        )
    found = re.findall(r"Data \(t\): ([\d.]+) Batch \(t\): ([\d.]+)", done.stdout + done.stderr)
    if not found:
        yield f"open_clip's script ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
    else:
        waits, whole = (1000 * statistics.median(map(float, each)) for each in zip(*found[1:], strict=True))
        yield f"open_clip's script, amp_bf16, synthetic data: {whole:.1f} ms a step, {waits:.1f} of them for data"


def main() -> None:
    """Measure, print, maybe write."""
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--model", default="ViT-B-16" if on_gpu else "pocket")
    parser.add_argument("--batch-size", type=int, default=512 if on_gpu else 4)
    parser.add_argument("--repeats", type=int, default=8 if on_gpu else 2)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS) if on_gpu else ["fomo"], choices=VARIANTS)
    parser.add_argument("--steps", type=int, default=80 if on_gpu else 4)
    parser.add_argument("--pictures", type=int, default=2560 if on_gpu else 64)
    parser.add_argument("--workers", type=int, default=max(0, num_cores() - 2))
    parser.add_argument("--open-clip", metavar="PYTHON")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    config = resolved(options).config
    best = peak(options.device, config.runtime.precision)
    about = f"{device_name(options.device)}, torch {torch.__version__}, Python {platform.python_version()}"
    parts = [steps(options, best, config), from_shards(options, best, config)]
    parts += [open_clip_script(options)] if options.open_clip else []
    lines = [f"{date.today()}  {options.model}, batch {options.batch_size}, {config.runtime.precision}; {about}"]
    print(lines[0], flush=True)
    for part in parts:
        for each in part:
            print(each, flush=True)
            lines.append(each)
    if options.write:
        Path(__file__).with_name(f"gpu-{date.today()}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
