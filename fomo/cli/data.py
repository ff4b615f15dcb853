"""``fomo data``: which datasets there are, and how to bring in your own."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from fomo.data.card import SPLITS, DatasetCard
from fomo.errors import FomoError


def main(arguments: list[str]) -> None:
    """``fomo data list`` or ``fomo data import folder PATH --name NAME --out ROOT``."""
    parser = argparse.ArgumentParser("fomo data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="list | import")
    listed = commands.add_parser("list", help="datasets that a stream may name")
    listed.add_argument("--root", type=Path, default=Path("data"), help="where imported datasets lie (default: data)")
    listed.set_defaults(act=show_list)
    kinds = commands.add_parser("import", help="turn your data into shards").add_subparsers(
        required=True, metavar="folder"
    )
    folder = kinds.add_parser("folder", help="a tree of class folders")
    folder.add_argument("path", type=Path, metavar="PATH", help="the folder that holds the class folders")
    folder.add_argument("--name", required=True, help="the dataset's name")
    folder.add_argument("--out", type=Path, required=True, metavar="ROOT", help="the dataset becomes ROOT/NAME")
    folder.add_argument(
        "--size", type=int, metavar="PIXELS", help="shrink pictures to this shorter side (default: keep)"
    )
    folder.set_defaults(act=import_from_folder)
    options = parser.parse_args(arguments)
    options.act(options)


def show_list(options: argparse.Namespace) -> None:
    """A row per dataset: the pocket's, and what lies in the root."""
    from streams import available, open_named

    table = Table(title="datasets")
    for column in ("name", "role", "domain", "classes", *SPLITS, "licence"):
        table.add_column(column, justify="right" if column in ("classes", *SPLITS) else "left")
    for name in available(options.root):
        card = open_named(name, options.root).card
        counts = [str(card.num_samples.get(split, 0)) for split in SPLITS]
        table.add_row(
            escape(card.name),
            card.role,
            escape(card.domain) or "unknown",
            str(len(card.classes)),
            *counts,
            escape(card.licence) or "unknown",
        )
    Console().print(table)


def import_from_folder(options: argparse.Namespace) -> None:
    """Read on all cores with a progress bar; what was left out is counted and shown."""
    from fomo.data.import_folder import import_folder, listing, read_all
    from streams import available

    if available(options.out).get(options.name, options.out) is None:
        raise FomoError(f"--name '{options.name}' is the name of a pocket dataset: choose another --name.")
    paths = listing(options.path, options.name, options.out, options.size)
    pictures = track(read_all(paths, options.size), "reading pictures", total=len(paths))
    show_import(import_folder(options.path, options.name, options.out, pictures), options.out)


def show_import(card: DatasetCard, out: Path) -> None:
    """What came in and what did not."""
    table = Table(show_header=False)
    for split in SPLITS:
        table.add_row(f"{split} pictures", str(card.num_samples[split]))
    table.add_section()
    for reason, count in sorted(card.counts.items()):
        table.add_row(f"left out: {reason}", str(count))
    console = Console()
    console.print(f"{card.name}: {len(card.classes)} classes in {out / card.name}", markup=False, soft_wrap=True)
    console.print(table)
