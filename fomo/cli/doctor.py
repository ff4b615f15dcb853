"""``fomo doctor``: is the machine fit for a long job? Versions, threads, memory, disk, GPU, bits, loading, network."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fomo.cli.screen import print_json, screen
from fomo.doctor.facts import MachineFacts
from fomo.doctor.machine import versions
from fomo.doctor.packages import packages
from fomo.doctor.verdict import Level, Verdict, duration
from fomo.errors import check_allowed
from fomo.system.imports import many_imports

SCHEMA = "fomo.doctor/1"
MARKS = {Level.GREEN: "✓", Level.YELLOW: "!", Level.RED: "✗"}
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
EPILOG = """Status 0 unless something is red, then 1. Nothing is written but images into the cache, as by `fomo run`.

examples:
  fomo doctor                                                   for the default experiment
  fomo doctor method=lora runtime.num_workers=4 run.dir=DIR     for that job, on the disk of DIR
  fomo doctor --seconds 600                                     compare the bits of repeated work for ten minutes
  fomo doctor --json                                            for programs"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo doctor", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="the job, as `fomo run` takes it")
    made.add_argument("--json", action="store_true", help="print JSON alone")
    made.add_argument("--seconds", type=float, default=3.0, help="how long bits are compared (default: 3)")
    return made


def main(arguments: list[str]) -> None:
    """Measure, judge, print; status 1 if a check is red."""
    options = parser().parse_intermixed_args(arguments)
    check_allowed(0 < options.seconds < float("inf"), f"--seconds {options.seconds:g}", "numbers above 0")
    facts = None
    verdicts = [versions(packages())]
    if verdicts[0].level is not Level.RED:  # without its libraries there is nothing that can be measured
        with offline():
            facts, verdicts = examined(options.overrides, options.seconds)
    if options.json:
        print_json(document(facts, verdicts))
    else:
        show(screen(), facts, verdicts)
    if worst(verdicts) is Level.RED:
        sys.exit(1)


def examined(overrides: list[str], seconds: float) -> tuple[MachineFacts, list[Verdict]]:
    """The facts about the job here, and the verdicts on them; bits are compared for so many ``seconds``."""
    from fomo.config.compose import compose

    values = compose(overrides)
    with many_imports():
        from fomo.config.schema import resolve

    resolved = resolve(values)
    from fomo.doctor.examine import examine
    from fomo.doctor.gather import gather

    with Console(stderr=True).status("measuring (images are drawn once, then cached)"):
        facts = gather(resolved, packages(), str(values["runtime"]["device"]), seconds)
    return facts, examine(facts)


@contextmanager
def offline() -> Iterator[None]:
    """Let libraries that would look for models on a network do without. They read it when they are imported."""
    before = {key: os.environ.get(key) for key in OFFLINE}
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
    try:
        yield
    finally:
        for key, value in before.items():
            del os.environ[key]
            os.environ.update({key: value} if value is not None else {})


def worst(verdicts: list[Verdict]) -> Level:
    """What the machine gets."""
    return max(verdict.level for verdict in verdicts)


def document(facts: MachineFacts | None, verdicts: list[Verdict]) -> dict[str, object]:
    """Everything, for programs."""
    return {
        "schema": SCHEMA,
        "verdict": worst(verdicts).name.lower(),
        "checks": [verdict.to_json() for verdict in verdicts],
        "facts": asdict(facts) if facts else None,
    }


def show(console: Console, facts: MachineFacts | None, verdicts: list[Verdict]) -> None:
    """A row per check, then what to do about those that are not green."""
    table = Table("check", "found", "expected", "verdict", caption=_outlook(facts))
    for verdict in verdicts:
        mark = f"[{_colour(verdict)}]{MARKS[verdict.level]} {_colour(verdict)}[/]"
        table.add_row(verdict.check, escape(verdict.found), escape(verdict.expected), mark)
    console.print(table)
    for verdict in verdicts:
        if verdict.advice:
            mark = f"[{_colour(verdict)}]{MARKS[verdict.level]} {verdict.check}[/]"
            console.print(f"{mark}: {escape(verdict.advice)}", highlight=False, soft_wrap=True)


def _colour(verdict: Verdict) -> str:
    return verdict.level.name.lower()


def _outlook(facts: MachineFacts | None) -> str | None:
    """How long the job will train, as far as a few steps tell."""
    job = facts.job if facts else None
    if job is None or job.step_seconds is None or job.loading_seconds is None:
        return None
    hidden = job.num_workers > 0
    step = max(job.step_seconds, job.loading_seconds) if hidden else job.step_seconds + job.loading_seconds
    return f"{job.num_steps:,} steps: about {duration(job.num_steps * step)} of training, evaluations not counted"
