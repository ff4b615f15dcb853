"""``fomo budget``: GFLOPs, peak memory, MAFs and steps of methods, counted on fake tensors, without a GPU."""

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from fomo.config.compose import compose, sweep
from fomo.errors import FomoError
from fomo.system.text import escape

CAPTION = (
    "MAFs: GFLOPs × memory ÷ memory of full fine-tuning. Memory: all tensors at the peak, mixed precision as on a GPU. "
    "Other: optimizer arithmetic and decompositions. See docs/budget.md."
)
OF_A_RAMP = " With a ramp: GFLOPs of the first size, memory of the largest, steps of the last task."
EPILOG = """examples:
  fomo budget                                                    the default run
  fomo budget model=ViT-B-16 batch_size=512 method=finetune,lora one row for each
  fomo budget model=ViT-B-16 batch_size=512 budget=mafs --json   for programs"""


def main(arguments: list[str]) -> None:
    """Print one row for every combination of the listed values."""
    parser = argparse.ArgumentParser(
        "fomo budget", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as `fomo run` takes them; lists give rows")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_intermixed_args(arguments)
    jobs = [compose(job) for job in sweep(options.overrides)]
    errors = Console(stderr=True)
    bar = track(rows(jobs), "counting", total=len(jobs), console=errors, transient=True, disable=not errors.is_terminal)
    found = list(bar)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        screen = Console()
        shown = table(found)
        screen.width = max(screen.width, screen.measure(shown, options=screen.options.update_width(400)).maximum)
        screen.print(shown)  # a line that wraps is easier to read than digits that are cut off


def rows(jobs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows in order; several are counted side by side, a process per core."""
    from fomo.config.schema import resolve

    for values in jobs:
        resolve(values)  # what is wrong with any of them is said before the first is counted
    workers = min(len(jobs), os.cpu_count() or 1)
    if workers < 2:
        yield from map(count, jobs)
        return
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(count, jobs)
    except BrokenProcessPool:
        raise FomoError("a counting process was killed: is there enough memory? Count fewer rows at once.") from None


def count(values: Mapping[str, Any]) -> dict[str, Any]:
    """One row."""
    from fomo.config.factory import stream_plan
    from fomo.config.schema import resolve
    from fomo.planning.table import row
    from fomo.stream.definition import StreamNames

    config = resolve(values).config
    plan = stream_plan(config)
    num_samples = plan.num_training_samples()
    # |D_t| is taken as equal for all tasks: a run plans with the real sizes.
    names = StreamNames((*plan.adaptation, *plan.pool_datasets), (tuple(plan.concepts),))
    return row(config, lambda num_tasks: max(1, round(num_samples / num_tasks)), names).to_json()


def table(found: list[dict[str, Any]]) -> Table:
    """In the shape of the published table. What all rows have in common stands in the title."""
    lengths = list(found[0]["steps_per_task"])
    labels = [each["label"].split() for each in found]
    common = set.intersection(*map(set, labels)) if len(found) > 1 else set()
    models = {f"{each['model']}, batch {_sizes(each)}" for each in found}
    caption = CAPTION + (OF_A_RAMP if any(each["batch_ramp"] for each in found) else "")
    numbers = ["GFLOPs\nper step", "extra\nper task", "other", "memory\nGiB", "× full", "MAFs\nper step"]
    numbers += [f"T = {length}\nsteps" for length in lengths]
    columns = [Column("method", no_wrap=True), *(Column(name, justify="right", no_wrap=True) for name in numbers)]
    title = escape(", ".join(sorted(models)))
    shown = Table(*columns, title=title, caption=caption, box=SIMPLE, padding=(0, 1, 0, 0))
    for each, label in zip(found, labels, strict=True):
        shown.add_row(
            escape(" ".join(label[:1] + [word for word in label[1:] if word not in common])), *_cells(each, lengths)
        )
    return shown


def _sizes(row: dict[str, Any]) -> str:
    """The batch size, and what a ramp makes of it."""
    later = "".join(f", {size} from {samples:,} samples on" for samples, size in row["batch_ramp"] or [])
    return f"{row['batch_size']}{later}"


def _cells(row: dict[str, Any], lengths: list[str]) -> list[str]:
    costs = [_short(row[f"gflops_{name}"]) for name in ("per_step", "per_task_extra", "other")]
    measured = row["measured_peak_memory_gib"]
    memory = _short(row["peak_memory_gib"]) + (f"\n({_short(measured)} measured)" if measured else "")
    steps = ["–" if each is None else f"{each:,}" for each in map(row["steps_per_task"].get, lengths)]
    return [*costs, memory, f"{row['memory_multiplier']:.4f}", _short(row["mafs_per_step"]), *steps]


def _short(number: float) -> str:
    """Five digits at least of what is large, four of what is small; the JSON has all."""
    return "–" if number == 0 else f"{number:,.1f}" if number >= 1000 else f"{number:.4g}"
