"""The table of ``fomo budget``, in the shape of the published one, as lines that can be shown as they come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fomo.system.text import printable

CAPTION = """MAFs: GFLOPs × memory ÷ memory of full fine-tuning. Memory: all tensors at the peak, mixed precision as on
a GPU. Other: optimizer arithmetic and decompositions. See docs/budget.md."""
MEASURED = "Measured: the peak of real steps on the GPU; ÷: over the planned memory."
OF_A_RAMP = "With a ramp: GFLOPs of the first size, memory of the largest, steps of the last task."
OF_A_LADDER = "With a ladder: GFLOPs and steps of the first size, memory of the largest."
COSTS = (("GFLOPs", "per step"), ("extra", "per task"), ("", "other"), ("memory", "GiB"))
ON_GPU = (("measured", "GiB"), ("÷", "memory"))
SHARES = (("× full", "memory"), ("MAFs", "per step"))
WIDTH = 9
"""Characters of a number, as a rule."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """What lines have in common.

    Args:
        width: Characters of the longest name.
        common: What all labels have, which no name repeats.
        lengths: Numbers of tasks, a column each.
        measures: Whether memory is measured too.
        room: Characters of a line; columns for which there is none stand below the others.
    """

    width: int
    common: frozenset[str]
    lengths: tuple[int, ...]
    measures: bool
    room: int

    def name(self, label: str) -> str:
        """What sets a row apart."""
        first, *rest = label.split()
        return printable(" ".join([first, *(word for word in rest if word not in self.common)]))

    def columns(self, name: str, cells: Sequence[str]) -> list[str]:
        """A line, or more where there is no room for all in one."""
        number = max(1, (self.room - self.width) // (WIDTH + 1))
        parts = [cells[start : start + number] for start in range(0, len(cells), number)]
        names = [name, *[""] * (len(parts) - 1)]
        rows = ([first.ljust(self.width), *map(_right, part)] for first, part in zip(names, parts, strict=True))
        return [" ".join(row) for row in rows]


def _right(cell: str) -> str:
    return cell.rjust(WIDTH)


def layout(jobs: Sequence[Mapping[str, Any]], measures: bool, room: int) -> Layout:
    """The layout for the rows of configurations in ``room`` characters a line; ``measures``: some are measured."""
    from fomo.planning.table import STREAM_LENGTHS

    labels = [str(values["label"]) for values in jobs]
    common = frozenset.intersection(*(frozenset(label.split()) for label in labels)) if len(jobs) > 1 else frozenset()
    lengths = tuple(sorted({*STREAM_LENGTHS, *(int(values["num_tasks"]) for values in jobs)}))
    names = Layout(0, common, lengths, measures, room)
    return replace(names, width=max(len(names.name(label)) for label in [*labels, "method"]))


def header(shown: Layout) -> str:
    """The names of the columns, in two lines each, and a rule."""
    measured = ON_GPU if shown.measures else ()
    names = [*COSTS, *measured, *SHARES, *((f"T = {length}", "steps") for length in shown.lengths)]
    above, below = (shown.columns(first, [name[i] for name in names]) for i, first in enumerate(("", "method")))
    pairs = [line for pair in zip(above, below, strict=True) for line in (pair[0].rstrip(), pair[1])]
    return "\n".join([*pairs, "─" * max(map(len, below))])


def line(shown: Layout, row: Row) -> str:
    """A row; what could not be counted or measured is told in its place or below it."""
    name = shown.name(row["label"])
    if "gflops_per_step" not in row:
        return f"{name.ljust(shown.width)} {printable(row['problem'])}"
    told = f"\n  {name}: {printable(row['problem'])}" if row["problem"] else ""
    return "\n".join(shown.columns(name, _cells(row, shown))) + told


def _cells(row: Row, shown: Layout) -> list[str]:
    costs = [_short(row[f"gflops_{name}"]) for name in ("per_step", "per_task_extra", "other")]
    measured = _measured(row) if shown.measures else []
    shares = [f"{row['memory_multiplier']:.4f}", _short(row["mafs_per_step"])]
    steps = [row["steps_per_task"].get(str(length)) for length in shown.lengths]
    counts = ["–" if each is None else f"{each:,}" for each in steps]
    return [*costs, _short(row["peak_memory_gib"]), *measured, *shares, *counts]


def _measured(row: Row) -> list[str]:
    if row["measured_peak_memory_gib"] is None:
        return ["failed" if row["problem"] else "–", "–"]
    return [_short(row["measured_peak_memory_gib"]), f"{row['measured_to_planned']:.3f}"]


def _short(number: float) -> str:
    """Five digits at least of what is large, four of what is small; the JSON has all."""
    return "–" if number == 0 else f"{number:,.1f}" if number >= 1000 else f"{number:.4g}"


def footer(found: Sequence[Row], shown: Layout) -> str:
    """The models of the rows, and what the columns mean."""
    counted = [row for row in found if "model" in row]
    models = printable(", ".join(sorted({f"{row['model']}, batch {_sizes(row)}" for row in counted})))
    measured = [MEASURED] if shown.measures else []
    through = [_assumed(row, shown) for row in counted if row["assumed_stream"]]
    ramp = [OF_A_RAMP] if any(row["batch_ramp"] for row in counted) else []
    ladder = [OF_A_LADDER] if any(row["batch_ladder"] for row in counted) else []
    return "\n".join(["", models, *_evaluations(counted, shown), CAPTION, *measured, *ramp, *ladder, *through])


def _evaluations(rows: Sequence[Row], shown: Layout) -> list[str]:
    """What the runs are evaluated on beside what they train on, a line for all of which it is the same."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if found := row.get("evaluation"):
            absent = f", {found['absent']} datasets that are not here left out" if found["absent"] else ""
            text = f"{_trained(row)}evaluation on {found['said']}{absent}"
            said.setdefault(text, []).append(shown.name(row["label"]))
    return [f"{', '.join(names)}: {text}." for text, names in said.items()]


def _trained(row: Row) -> str:
    """The training samples of the run; nothing where its budget is in seconds."""
    samples = row["total_samples"].get(str(row["evaluation"]["num_tasks"]))
    return f"training on {samples:,} samples, " if samples else ""


def _assumed(row: Row, shown: Layout) -> str:
    """On what data the steps of a method rest that goes through that of each task."""
    name, stream, size = shown.name(row["label"]), printable(row["assumed_stream"]), row["assumed_update_samples"]
    return (
        f"{name}: goes through the new data of each task, taken to be {size:,} samples, those of stream={stream}. "
        "Name the stream of the run (stream=…): with another one the steps are others."
    )


def _sizes(row: Row) -> str:
    """The batch size, and what a ramp or a ladder makes of it."""
    later = "".join(f", {size} from {samples:,} samples on" for samples, size in row["batch_ramp"] or [])
    rungs = row["batch_ladder"] or {}
    asked = " or ".join(f"{size} ({rung['steps_per_task']:,} steps a task)" for size, rung in rungs.items())
    return f"{row['batch_size']}{later}{f', {asked} where a test asks for it' if asked else ''}"
