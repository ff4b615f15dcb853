"""``fomo data``: which datasets there are, and how to bring in your own."""

import argparse

from fomo.cli import data_list, data_prepare
from fomo.cli.data_import import add_commands


def main(arguments: list[str]) -> None:
    """``fomo data list``, ``prepare NAME --out ROOT`` or ``import KIND PATH --name NAME --out ROOT``."""
    parser = argparse.ArgumentParser("fomo data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="list | prepare | import")
    data_list.add_arguments(commands.add_parser("list", help="the datasets of the benchmark, and what is present here"))
    data_prepare.add_arguments(commands.add_parser("prepare", help="download a public dataset, as shards"))
    kinds = commands.add_parser("import", help="turn your data into shards").add_subparsers(
        required=True, metavar="folder | webdataset | fomo-in-flux"
    )
    add_commands(kinds)
    options = parser.parse_args(arguments)
    options.act(options)
