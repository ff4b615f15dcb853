"""``fomo data``: which datasets there are, how to bring in your own, whether they are whole, what they show."""

import argparse

from fomo.cli import data_check, data_import, data_list, data_prepare


def main(arguments: list[str]) -> None:
    """``fomo data list | prepare | import | verify | preview``."""
    parser = argparse.ArgumentParser("fomo data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="list | prepare | import | verify | preview")
    data_list.add_arguments(commands.add_parser("list", help="the datasets of the benchmark, and what is present here"))
    data_prepare.add_arguments(commands.add_parser("prepare", help="download a public dataset, as shards"))
    kinds = commands.add_parser("import", help="turn your data into shards").add_subparsers(
        required=True, metavar="folder | webdataset | fomo-in-flux"
    )
    data_import.add_commands(kinds)
    data_check.add_commands(commands)
    options = parser.parse_args(arguments)
    options.act(options)
