"""``fomo data``: which datasets there are, and how to bring in your own."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fomo.cli.data_import import add_commands
from fomo.data.card import SPLITS


def main(arguments: list[str]) -> None:
    """``fomo data list`` or ``fomo data import KIND PATH --name NAME --out ROOT``."""
    parser = argparse.ArgumentParser("fomo data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="list | import")
    listed = commands.add_parser("list", help="datasets that a stream may name")
    listed.add_argument("--root", type=Path, default=Path("data"), help="where imported datasets lie (default: data)")
    listed.set_defaults(act=show_list)
    kinds = commands.add_parser("import", help="turn your data into shards").add_subparsers(
        required=True, metavar="folder | webdataset | fomo-in-flux"
    )
    add_commands(kinds)
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
