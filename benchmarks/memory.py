"""Planned against measured memory of each method on a GPU, one after another, each in a process of its own.

    python benchmarks/memory.py [--out FILE] [KEY=VALUE …]

The peak of two tasks of two real steps, as the GPU's allocator tells it, over the peak that the rehearsal plans with,
for every preset of `method=`, or those that are listed: `method=lora,ewc`. By default ViT-B/16 at batch 512; about ten
seconds a method. The table is written to FILE too, by default `memory-DATE.txt` beside this script. Status 1 where a
ratio is not within 5 % of 1, or missing on a GPU. Without a GPU nothing can be measured: the table has the plans alone
and says so.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import torch

from fomo.config.compose import builtin_groups, compose
from fomo.config.sweeping import sweep
from fomo.planning.survey import Row, measures_of, survey

BAR = 0.05
SETTING = ("model=ViT-B-16", "batch_size=512", "budget=mafs")


def jobs_of(arguments: list[str]) -> list[list[str]]:
    """The overrides of each row."""
    chosen = [each for each in arguments if each.startswith("method=")]
    return sweep([*SETTING, *arguments, *([] if chosen else [f"method={','.join(builtin_groups()['method'])}"])])


def is_met(row: Row) -> bool:
    """Whether what was measured is near enough to the plan."""
    return bool(row.get("measured_to_planned")) and abs(row["measured_to_planned"] - 1) <= BAR


def line(row: Row) -> str:
    """One row of the table."""
    if "peak_memory_gib" not in row:
        return f"{row['method']:14} {row['problem']}"
    planned = f"{row['method']:14} {row['peak_memory_gib']:9.3f} GiB"
    if row["measured_to_planned"] is None:
        return f"{planned}  {row['problem'] or 'not measured'}"
    told = "" if is_met(row) else f"  beyond {BAR:.0%}"
    return f"{planned} {row['measured_peak_memory_gib']:9.3f} GiB  {row['measured_to_planned']:6.3f}{told}"


def lines(found: Iterator[Row], on_gpu: bool, failed: list[str]) -> Iterator[str]:
    """The table, line by line; ``failed`` gets the methods that do not meet the bar."""
    where = torch.cuda.get_device_name() if on_gpu else "no GPU: nothing can be measured, plans alone"
    yield f"{date.today()}  {where}, torch {torch.__version__}"
    for number, row in enumerate(found):
        if not number:
            yield f"{row.get('model', '')}, batch {row.get('batch_size', '')}"
            yield f"{'method':14} {'planned':>13} {'measured':>13}   ratio"
        if not is_met(row) and (on_gpu or row["problem"]):
            failed.append(row["method"])
        yield line(row)
    yield f"the bar is {BAR:.0%}" + (f"; not met: {', '.join(failed)}" if failed else "")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / f"memory-{date.today()}.txt")
    options, overrides = parser.parse_known_args(arguments)
    jobs = [compose(job) for job in jobs_of(overrides)]
    measures = measures_of(jobs)
    failed: list[str] = []
    with options.out.open("w", encoding="utf-8") as file, closing(survey(jobs, measures)) as found:
        for text in lines(found, any(measures), failed):
            print(text, flush=True)
            print(text, file=file, flush=True)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
