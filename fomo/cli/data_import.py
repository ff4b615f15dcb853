"""``fomo data import KIND PATH``: your data, the reference's, or shards made elsewhere, as indexed shards."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from fomo.data.card import SPLITS, DatasetCard
from fomo.errors import FomoError
from fomo.system.text import escape, printable
from fomo.system.workers import num_cores

if TYPE_CHECKING:
    from fomo.data.importing.job import Source


def add_commands(kinds: Any) -> None:
    """Add a parser per kind of import."""
    folder = _kind(kinds, "folder", "a tree of class folders", "the folder that holds the class folders")
    folder.set_defaults(make_source=_folder)
    shards = _kind(kinds, "webdataset", "shards of CLIP_benchmark, LAION, DataComp", "the folder that holds them")
    shards.set_defaults(make_source=_webdataset)
    reference = _kind(kinds, "fomo-in-flux", "data of the public reference", "the folder that holds NAME or NAME.tar")
    reference.add_argument("--info", type=Path, required=True, help="the folder of the reference's JSON files")
    reference.add_argument(
        "--resized", type=int, metavar="PIXELS", help="the reference's resized copies, as NAME_test_224"
    )
    reference.set_defaults(make_source=_reference)


def _kind(kinds: Any, name: str, about: str, path: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=about, description=f"Bring in {about}.")
    parser.add_argument("path", type=Path, metavar="PATH", help=path)
    parser.add_argument("--name", required=True, help="the dataset's name")
    parser.add_argument("--out", type=Path, required=True, metavar="ROOT", help="the dataset becomes ROOT/NAME")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="shrink pictures to this shorter side")
    parser.add_argument("--workers", type=int, default=num_cores(), help="processes (default: all cores)")
    parser.set_defaults(act=import_data)
    return parser


def _folder(options: argparse.Namespace) -> "Source":
    from fomo.data.importing.folder import folder_source

    return folder_source(options.path, options.name, options.size)


def _webdataset(options: argparse.Namespace) -> "Source":
    from fomo.data.importing.webdataset import webdataset_source

    return webdataset_source(options.path, options.name, options.size)


def _reference(options: argparse.Namespace) -> "Source":
    from fomo.data.importing.reference import reference_source

    describe = partial(_as_declared, options.name)
    return reference_source(options.path, options.info, options.name, options.resized, options.size, describe)


def _as_declared(name: str, card: DatasetCard) -> DatasetCard:
    """With role, domain and licence of the catalogue, where it knows the dataset."""
    from streams import catalogue

    declared = catalogue.load().get(name)
    if declared is None:
        return card
    if card.kind != declared.kind:
        found = "primer captions" if card.kind == "classification" else "no primer captions"
        raise FomoError(f"'{name}' is a {declared.kind} dataset, but its JSON holds {found}: is it complete?")
    return declared.describe(card)


def import_data(options: argparse.Namespace) -> None:
    """Refuse what can be refused, then read on all cores; what was left out is counted and shown."""
    from fomo.data.importing.job import check_destination
    from streams import available

    check_destination(options.name, options.out)
    if available(options.out).get(options.name, options.out) is None:
        raise FomoError(f"--name '{options.name}' is the name of a pocket dataset: choose another --name.")
    if options.workers < 1:
        raise FomoError(f"--workers {options.workers}: allowed are 1 and above.")
    show_import(bring_in_with_bar(options.make_source(options), options.out, options.workers), options.out)


def bring_in_with_bar(source: "Source", out: Path, num_workers: int) -> DatasetCard:
    """The import, with a progress bar."""
    from fomo.data.importing.job import bring_in

    with progress_bar() as progress:
        bar = progress.add_task(escape(f"importing {source.name}"), total=source.total)
        return bring_in(source, out, num_workers, lambda number: progress.advance(bar, number))


def progress_bar() -> Progress:
    """On standard error, so that standard output holds results alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))


def show_import(card: DatasetCard, out: Path) -> None:
    """What came in and what did not."""
    from fomo.data.importing.job import LEFT_OUT_FILE

    table = Table(show_header=False)
    for split in SPLITS:
        table.add_row(f"{split} pictures", str(card.num_samples[split]))
    table.add_section()
    for reason, count in card.counts.items():
        table.add_row(escape(f"left out: {reason}"), str(count))
    console = Console()
    folder = out / card.name
    console.print(printable(f"{card.name}: {len(card.classes)} classes in {folder}"), markup=False, soft_wrap=True)
    console.print(table)
    if LEFT_OUT_FILE in card.hashes:
        console.print(printable(f"listed in {folder / LEFT_OUT_FILE}"), markup=False, soft_wrap=True)
