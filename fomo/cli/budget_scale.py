"""The options of ``fomo budget`` that estimate what runs take on other machines, and how the estimates are shown."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fomo.errors import FomoError, check_allowed
from fomo.system.text import printable

if TYPE_CHECKING:
    from fomo.planning.machines import Machines

Row = dict[str, Any]
WIDTH = 9
COLUMNS = (
    ("s", "per step"),
    ("of it", "waiting"),
    ("DDP", "GB/step"),
    ("", "hidden"),
    ("FSDP2", "GB/step"),
    ("", "hidden"),
    ("images", "per s"),
    ("read", "MB/s"),
    ("checkp.", "GiB"),
    ("experts", "GiB"),
    ("training", "h"),
    ("evaluat.", "h"),
    ("one run", "h"),
)
ALONE = ("mfu", "bandwidth", "image_kb")
"""Options that say something of a device."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    add = parser.add_argument_group("estimates, for other machines than this one").add_argument
    add("--devices", metavar="N", help="devices that take a run's steps together; with --device")
    add("--device", metavar="NAME", help="a listed device, such as h100; here: this machine, steps are timed")
    add("--mfu", metavar="SHARE", help="of the listed peak that is reached, above 0 up to 1; else a measured one")
    add("--bandwidth", metavar="GB/S", help="that a device sends; else its link or bus, as its maker lists it")
    add("--image-kb", metavar="KB", help="an image file, on average (80)")


def machines_of(options: argparse.Namespace) -> "Machines | None":
    """The machines that the options describe; ``None``: nothing is to be estimated.

    Raises:
        FomoError: an option makes no sense, or lacks another.
    """
    if options.device is None:
        given = next((name for name in ("devices", *ALONE) if getattr(options, name) is not None), None)
        if given:
            option = given.replace("_", "-")
            raise FomoError(f"--{option}: of which device? Add --device NAME, such as --device h100 or --device here.")
        return None
    from fomo.planning.machines import HERE, Machines  # imports torch
    from fomo.system.devices import listed_device

    devices = _number("--devices", "1" if options.devices is None else options.devices, "whole numbers from 1", 0)
    check_allowed(devices == int(devices or 0), f"--devices={options.devices}", "whole numbers from 1")
    mfu = _number("--mfu", options.mfu, "numbers above 0 and up to 1", 0, 1)
    bandwidth = _number("--bandwidth", options.bandwidth, "numbers above 0, in GB/s", 0)
    image = _number("--image-kb", options.image_kb, "numbers above 0, in kB", 0)
    is_here = options.device.strip().casefold() == HERE
    if is_here and mfu is not None:
        raise FomoError(f"--mfu={options.mfu}: --device here times real steps, so nothing is assumed. Leave it out.")
    return Machines(
        int(devices or 1),
        HERE if is_here else listed_device(options.device),
        mfu,
        bandwidth and 1e9 * bandwidth,
        image and 1000 * image,
    )


def _number(option: str, text: str | None, allowed: str, above: float, most: float = float("inf")) -> float | None:
    """The number of an option; ``None`` where it is not given.

    Args:
        option: Its name.
        text: What was typed.
        allowed: What may be, in words.
        above: What it has to be above.
        most: What it may be at the most.

    Raises:
        FomoError: it is something else.
    """
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    check_allowed(above < number <= most and number < float("inf"), f"{option}={text}", allowed)
    return number


def table(found: Sequence[tuple[str, Row]]) -> str:
    """A line for each named row that has estimates, below what they rest on; empty where none has."""
    rows = [(name, row["estimates"]) for name, row in found if row.get("estimates")]
    if not rows:
        return ""
    first = rows[0][1]
    width = max(len(name) for name, _ in [*rows, ("method", None)])
    above, below = (
        " ".join([word.ljust(width), *(column[number].rjust(WIDTH) for column in COLUMNS)]).rstrip()
        for number, word in enumerate(("", "method"))
    )
    lines = [" ".join([name.ljust(width), *(cell.rjust(WIDTH) for cell in _cells(each))]) for name, each in rows]
    return "\n".join(["", _heading(first), above, below, "─" * len(below), *lines, *_notes([each for _, each in rows])])


def _heading(row: Row) -> str:
    return f"ESTIMATES for {row['devices']} × {printable(row['device'])}, {row['rows_per_device']} rows each:"


def _cells(row: Row) -> list[str]:
    exchanges = [row["exchanged"][name] for name in ("ddp", "fsdp")]
    sent = [cell for each in exchanges for cell in (_short(each["bytes_per_step"] / 1e9), _share(each))]
    hours = [_short(row[f"{name}_hours"]) for name in ("training", "evaluation", "run")]
    step = [_short(row["seconds_per_step"] or 0), _short(row["waiting_seconds"])]
    reading = [_short(row["images_per_second"]), _short(row["mb_per_second"])]
    return [*step, *sent, *reading, _short(row["checkpoint_gib"]), _short(row["experts_gib"]), *hours]


def _share(exchange: Row) -> str:
    return f"{exchange['overlapped']:.0%}" if exchange["bytes_per_step"] else "–"


def _short(number: float) -> str:
    """Three digits at least; the JSON has all."""
    return "–" if number == 0 else f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def _notes(rows: Sequence[Row]) -> list[str]:
    """What the estimates rest on, and the published study."""
    lines = [line for row in rows for line in _assumptions(row)]
    study = rows[0]["study"]
    return [*dict.fromkeys(lines), _study(study), "Formulas, and what they leave out: docs/scale.md."]


def _assumptions(row: Row) -> list[str]:
    assumed = {name: f"{each['value']:.4g} {{}} ({each['source']})" for name, each in row["assumed"].items()}
    peak = assumed["peak_teraflops"].format("TFLOP/s")
    rate = f"{assumed['mfu'].format('MFU')} of {peak}" if "mfu" in assumed else "what a device does is measured here"
    absent = row["scored"]["absent"]
    return [
        f"Rate: {rate}. Small models and small batches reach less of a GPU.",
        f"Bandwidth of a device: {assumed['bandwidth_gb_per_second'].format('GB/s')}; strategy: {row['strategy']}.",
        f"Images: {assumed['image_kb'].format('kB')}.",
        *([f"Evaluation: {absent} datasets that are not here are left out."] if absent else []),
    ]


def _study(study: Row) -> str:
    return (
        f"The published study ({study['datasets']} datasets, T = {study['tasks']}, {study['runs']} methods, one seed: "
        f"{study['runs']} runs of ViT-B/16, a device each): {_short(study['hours'])} h, "
        f"{_short(study['device_hours'])} device hours, of them evaluation {_short(study['evaluation_device_hours'])}."
    )
