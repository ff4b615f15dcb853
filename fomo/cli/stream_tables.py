"""What ``fomo stream`` prints."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table

from fomo.system.text import escape, printable

if TYPE_CHECKING:
    from streams.summary import StreamSummary
    from streams.verify import SoundnessReport

SHOWN = 10
LONGEST_NAME = 32


def lengths_table(lengths: Mapping[str, float]) -> Table:
    """How much each stage of the search shortened the path; the first stage is the yardstick."""
    numbers = (Column(name, justify="right") for name in ("length", "of random"))
    table = Table("path", *numbers, title="sum of 1 − cosine along the path")
    longest = next(iter(lengths.values()))
    for name, length in lengths.items():
        table.add_row(name, f"{length:.3f}", f"{100 * length / longest:.1f} %" if longest else "")
    return table


def task_table(shown: "StreamSummary", wide: bool) -> Table:
    """A row per task; its first and last concept where the table may be wide."""
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("task", "concepts", "samples", "datasets"))
    names = ("most concepts of", *(("from", "to") if wide else ()))
    title = f"{shown.name}: {sum(map(len, shown.tasks))} concepts in {len(shown.tasks)} tasks"
    table = Table(*numbers, *names, title=escape(title))
    for number, task in enumerate(shown.tasks):
        datasets = shown.datasets(number)
        samples = shown.samples(number)
        most = ", ".join(f"{name} {count}" for name, count in list(datasets.items())[:2])
        counts = (str(number + 1), str(len(task)), "?" if samples is None else str(samples), str(len(datasets)))
        ends = [_shortened(concept.name) for concept in (task[0], task[-1])]
        table.add_row(*counts, *map(escape, [most, *(ends if wide else ())]))
    return table


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def dataset_table(shown: "StreamSummary") -> Table:
    """A row per dataset, those held out last."""
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("concepts", "samples", "tasks"))
    table = Table("dataset", "domain", *numbers, title="datasets")
    tasks_of: dict[str, list[int]] = {}
    samples: Counter[str] = Counter()
    for number, task in enumerate(shown.tasks, start=1):
        for concept in task:
            tasks_of.setdefault(concept.dataset, []).append(number)
            samples[concept.dataset] += shown.num_samples.get(concept, 0)
    for name, tasks in sorted(tasks_of.items()):
        count = "absent" if name in shown.absent else str(samples[name])
        table.add_row(escape(name), escape(shown.domains[name]), str(len(tasks)), count, f"{tasks[0]}–{tasks[-1]}")
    table.add_section()
    for name in shown.retention:
        table.add_row(escape(name), escape(shown.domains[name]), "held out", "absent" if name in shown.absent else "")
    return table


def print_hashes(shown: "StreamSummary", console: Console) -> None:
    """Print the hash of the definition, and the hash of the data or why there is none."""
    if shown.data_sha256 is not None:
        data = shown.data_sha256
    elif shown.absent:
        data = f"none yet: {len(shown.absent)} datasets are absent"
    else:
        data = "none yet: images are not drawn" if shown.retention else "none: no dataset is held out"
    console.print(f"definition: {shown.sha256}\ndata:       {data}", soft_wrap=True, markup=False, highlight=False)


def print_report(name: str, report: "SoundnessReport", console: Console) -> None:
    """Print every check with its count, then the first findings of each kind."""
    from streams.verify import FAULTS, NOTES

    table = Table(title=escape(f"{name}: {report.num_concepts} concepts"), show_header=False)
    skipped = () if report.radius is not None else ("near duplicate", "plain")
    for kind, about in {**FAULTS, **NOTES}.items():
        if kind not in skipped and (kind in FAULTS or kind in report.findings):
            found = report.findings.get(kind, [])
            verdict = "note" if kind in NOTES else "FAULT" if found else "ok"
            table.add_row(verdict, about, str(len(found)))
    table.add_section()
    for side, count in report.num_images.items():
        table.add_row("", f"images compared, {side}", str(count))
    console.print(table)
    for kind, found in report.findings.items():
        lines = [*found[:SHOWN], *([f"… and {len(found) - SHOWN} more: --json has all"] if len(found) > SHOWN else [])]
        for line in lines:
            console.print(printable(f"{kind}: {line}"), soft_wrap=True, markup=False, highlight=False)
