"""``fomo methods``: what is installed: presets of ``method=``, the parts that they are made of, plug-ins; or one."""

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from fomo.cli.methods_about import GROUPS, about, lines, of_preset
from fomo.cli.screen import print_json, screen
from fomo.config.compose import builtin_groups
from fomo.config.plugins import PARTS, installed
from fomo.errors import FomoError
from fomo.system.text import escape

EPILOG = """examples:
  fomo methods                     everything
  fomo methods lora                a preset, its parts and their settings
  fomo methods schedule=cosine     a part; also a technique, a plug-in or MODULE:CLASS
  fomo methods --json              for programs"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo methods", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("name", nargs="?", help="a preset, part, technique, plug-in, GROUP=NAME, or MODULE:CLASS")
    made.add_argument("--json", action="store_true", help="print JSON alone")
    return made


def main(arguments: list[str]) -> None:
    """Print three tables, or what is to be known of one name; or JSON."""
    options = parser().parse_args(arguments)
    if options.name is not None:
        pages = about(options.name)
        told = [page.to_json() for page in pages]
        if options.json:
            print_json(told)
        else:
            print("\n".join(lines(pages, screen().width)).rstrip())
        return
    made = presets()
    options_of = parts()
    plugged = plugins()
    if options.json:
        print_json({"presets": made, "parts": options_of, "plugins": plugged})
        return
    console = Console(highlight=False)
    console.print(_table("presets: method=NAME", made), _table("parts: GROUP=NAME", _lines(options_of)))
    if plugged:
        console.print(_table("plug-ins", plugged))
    else:
        console.print("no plug-ins are installed: docs/extending.md says how to write one.")


def presets() -> list[dict[str, Any]]:
    """Every preset, the parts it chooses, what it does, and the papers it comes from."""
    from methods.presets import PRESETS

    pages = {name: of_preset(name) for name in PRESETS}
    return [{"name": name, "parts": of.parts, "about": of.about, "papers": of.papers} for name, of in pages.items()]


def parts() -> dict[str, list[str]]:
    """The options of every group that a method is made of."""
    return {group: builtin_groups()[group] for group in GROUPS}


def plugins() -> list[dict[str, Any]]:
    """Every entry point, the package that brings it, how it is used, and what is wrong with it."""
    rows = []
    for plugin in installed():
        use = ""
        problem = ""
        try:
            use = _use(plugin.kind, plugin.name, plugin.load())
        except FomoError as error:
            problem = str(error)
        if not problem and plugin.name in _taken(plugin.kind):
            problem = "the name is built in: nothing is composed while it is installed"
        row = {"kind": plugin.kind, "name": plugin.name, "package": plugin.package, "target": plugin.target}
        rows.append(row | {"use": use, "problem": problem})
    return rows


def _use(kind: str, name: str, found: Any) -> str:
    uses = {
        "merges": f"merging.technique={name}",
        "schedules": f"schedule={name}",
        "datasets": f"stream.adaptation=[{name}]",
        "orderings": f"stream.ordering={name}",
        "loggers": f"log={name}",
        "metrics": f"--metrics={name}",
        "tuners": f"tuner={name}",
        "prompts": f"--proposer={name}",
    }
    return uses.get(kind) or f"method={name}, {found.group}={name}"


def _taken(kind: str) -> list[str]:
    groups = builtin_groups()
    of_kind = {"methods": ("method", *PARTS), "schedules": ("schedule",), "loggers": ("log",), "tuners": ("tuner",)}
    return [name for group in of_kind.get(kind, ()) for name in groups[group]]


def _lines(groups: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [{"group": f"{group}=", "options": ", ".join(options)} for group, options in groups.items()]


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(*rows[0], title=title)
    for row in rows:
        cells = (", ".join(f"{k}={v}" for k, v in c.items()) if isinstance(c, dict) else str(c) for c in row.values())
        table.add_row(*map(escape, cells))
    return table
