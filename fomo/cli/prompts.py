"""``fomo prompts``: prompt templates that suit a model, searched for on the validation split.

Settings are those of `fomo run`: model=NAME, stream=…, runtime.device=…. Beside them there is datasets=NAME,… of the
stream (else all that are classified). `fomo run evaluation.templates=FILE.json` evaluates with what is found, in a
track of its own.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fomo.cli.screen import examples, fitting, print_json, screen
from fomo.cli.zeroshot import with_datasets
from fomo.config.compose import compose
from fomo.errors import FomoError
from fomo.evaluation.template_search import SearchSettings
from fomo.evaluation.templates import ENDING
from fomo.system.text import printable
from fomo.system.writing import write_json

if TYPE_CHECKING:
    from fomo.running.prompts import FoundTemplates

EXAMPLE = "fomo prompts search --out prompts.json"
EPILOG = examples(
    f"{EXAMPLE}                            for all datasets of the pocket",
    "fomo prompts search datasets=pocket_flags,pocket_solids --ensemble 3 --step-size 2 --out few.json",
    "fomo prompts search model=ViT-B-16 stream=images 'stream.adaptation=[BIRDS]' --out birds.json   prepared data",
)
HELP = {
    "rounds": "how often the best templates are gone on from",
    "beam": "how many templates are",
    "tries": "proposals that are tried on a batch of errors, for each of these",
    "confirm": "the best of them, which are confirmed on all images",
    "errors": "images of a batch that a template gets wrong; as many right ones are added",
    "step_size": "slots that a proposal changes at most",
    "ensemble": "how many templates may be used together",
    "seed": "what is drawn from",
}


def parser() -> argparse.ArgumentParser:
    """The command and its options."""
    made = argparse.ArgumentParser(
        "fomo prompts", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = made.add_subparsers(required=True, metavar="search")
    command = commands.add_parser(
        "search",
        help="search for templates",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as `fomo run` takes them, and datasets=")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="where to; a new file")
    for each in fields(SearchSettings):
        flag = f"--{each.name.replace('_', '-')}"
        command.add_argument(flag, type=int, default=each.default, help=f"{HELP[each.name]} (default {each.default})")
    command.add_argument("--proposer", default="grammar", metavar="NAME", help="grammar, or a plug-in of fomo.prompts")
    command.add_argument("--json", action="store_true", help="print JSON alone")
    return made


def main(arguments: list[str]) -> None:
    """Search, write the file, and print a table or the file's content."""
    read = parser()
    options, rest = read.parse_known_args(arguments)
    flags = [each for each in rest if each.startswith("-")]
    if flags:
        read.error(f"unknown option {flags[0]}")
    _search(options, [*options.overrides, *rest])


def _search(options: argparse.Namespace, given: Sequence[str]) -> None:
    from fomo.config.schema import resolve
    from fomo.running.prompts import file_of, find, sought

    settings = SearchSettings(**{each.name: getattr(options, each.name) for each in fields(SearchSettings)})
    _check_out(options.out)
    names, overrides = with_datasets(given)
    config = resolve(compose(["evaluation=validation", *overrides])).config
    of = sought(config, names, settings, options.proposer)
    with Console(stderr=True).status("searching") as status:
        found = list(find(of, lambda name: status.update(printable(f"{name}: {len(of.names)} datasets"))))
    content = file_of(of, found)
    write_json(options.out, content)
    if options.json:
        print_json(content)
    else:
        _show(options.out, found)


def _check_out(path: Path) -> None:
    from streams.stream_files import check_new

    if path.suffix != ENDING:
        raise FomoError(f"--out {path}: the name has to end in {ENDING}, by which evaluation.templates= knows a file.")
    check_new(path)
    if not os.access(path.parent, os.W_OK):
        raise FomoError(f"--out {path}: the folder '{path.parent}' cannot be written to. Choose another one.")


def _show(out: Path, found: "Sequence[FoundTemplates]") -> None:
    heads = ("dataset", "templates", "images", "first", "found", "tried", "prompts")
    console = screen()
    for part in fitting(heads, [_cells(each) for each in found], ("dataset", "templates"), console.width):
        console.print(part)
    lines = (
        "In percent of the validation images: the card's first template, and what was found. No test image was read.",
        f"{out}: fomo run evaluation.templates={out}",
    )
    for line in lines:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _cells(each: "FoundTemplates") -> tuple[str, ...]:
    shares: tuple[Any, ...] = (each.right_first, each.right)
    percent = [f"{100 * right / each.num_images:.1f}" for right in shares]
    return (
        each.dataset,
        " | ".join(each.templates),
        f"{each.num_images:,}",
        *percent,
        f"{each.num_tried}",
        f"{each.num_texts:,}",
    )
