"""``fomo data verify`` and ``fomo data preview``: is a dataset whole, and what does it show?"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from fomo.cli.progress import counted
from fomo.cli.screen import examples, print_json
from fomo.data.card import SPLITS, read_card
from fomo.errors import FomoError, check_allowed
from fomo.system.text import printable
from fomo.system.workers import num_cores, runner

SHOWN = 20
CARD = "dataset.json"
EXTENSIONS = (".png", ".jpg", ".webp")


def add_commands(commands: Any) -> None:
    """Add both parsers."""
    verify = commands.add_parser(
        "verify",
        help="check imported datasets",
        description="Check imported datasets.",
        epilog=examples("fomo data verify data", "fomo data verify data/birds --no-decode"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument("path", type=Path, metavar="PATH", help="a dataset's folder, or the root of several")
    verify.add_argument("--no-decode", action="store_true", help="leave the samples unread: files and index alone")
    verify.add_argument("--workers", type=int, default=num_cores(), help="processes (default: all cores)")
    verify.add_argument("--json", action="store_true", help="print JSON alone, with every problem")
    verify.set_defaults(act=verify_data)
    preview = commands.add_parser(
        "preview",
        help="images with their texts",
        description="Draw a grid of samples.",
        epilog=examples("fomo data preview pocket_flags --out flags.png"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    preview.add_argument("names", nargs="+", metavar="DATASET", help="names, as `fomo data list` shows them")
    preview.add_argument("--out", type=Path, required=True, metavar="FILE", help="the image; of several, FILE-NAME")
    preview.add_argument("--root", type=Path, default=Path("data"), help="where imported datasets lie (default: data)")
    preview.add_argument("--split", choices=SPLITS, help="default: the first that has samples")
    preview.add_argument("--number", type=int, default=24, help="how many samples (default: 24)")
    preview.set_defaults(act=preview_data)


def verify_data(options: argparse.Namespace) -> None:
    """Check each dataset; problems are shown, and end with status 2."""
    from fomo.data.shards import present

    check_allowed(options.workers >= 1, f"--workers {options.workers}", "1 and above")
    whole = (options.path / CARD).is_file()
    folders = [options.path] if whole else list(present(options.path).values())
    if not folders:
        raise FomoError(f"no dataset in '{options.path}': give a folder with a dataset.json, or the root of several.")
    found = []
    for folder in folders:
        found.append(_verified(folder, options))
        if not options.json:
            _show(folder, found[-1])
    if options.json:
        print_json(found)
    broken = [about["name"] for about in found if about["problems"]]
    if broken:
        raise FomoError(f"not whole: {', '.join(broken)}. Import them anew, or restore the files.")


def _verified(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A dataset as JSON has it; ``samples`` is how many its card says it has, ``read`` whether they were read."""
    from fomo.data.inspect.verify import Problem, verify
    from streams.desktop.manifest import differences

    decode = not options.no_decode
    about: dict[str, Any] = {"name": folder.name, "folder": str(folder), "samples": None, "read": decode}
    try:
        about["samples"] = total = sum(read_card(folder / CARD).num_samples.values())
    except FomoError as error:  # the other datasets are looked at all the same
        said = str(error).removeprefix(f"{folder / CARD}: ")
        return about | {"problems": [Problem(CARD, said)._asdict()]}
    with counted(Console(stderr=True), f"verifying {folder.name}", total) as advance, runner(options.workers) as run:
        found = list(verify(folder, run, decode, advance))
    found = found or [Problem(CARD, each) for each in differences(folder)]
    return about | {"problems": [each._asdict() for each in found]}


def _show(folder: Path, about: Mapping[str, Any]) -> None:
    console = Console(highlight=False)
    problems = about["problems"]
    for problem in problems[:SHOWN]:
        console.print(printable(f"{folder / problem['place']}: {problem['what']}"), markup=False, soft_wrap=True)
    more = f", {len(problems) - SHOWN} more not shown (--json has all)" if len(problems) > SHOWN else ""
    what = f"{len(problems)} problems{more}" if problems else "whole"
    samples = f"{about['samples']} samples {'read' if about['read'] else 'not read'}"
    console.print(printable(f"{about['name']}: {what} ({samples})"), markup=False, soft_wrap=True)


def preview_data(options: argparse.Namespace) -> None:
    """Draw a grid per dataset."""
    from fomo.data.inspect.preview import preview
    from streams import open_named

    check_allowed(options.out.suffix.lower() in EXTENSIONS, f"--out '{options.out}'", ", ".join(EXTENSIONS))
    check_allowed(options.number >= 1, f"--number {options.number}", "1 and above")
    datasets = [open_named(name, options.root) for name in options.names]
    for dataset in datasets:
        file = options.out.with_stem(f"{options.out.stem}-{dataset.name}") if len(datasets) > 1 else options.out
        split = options.split or next(split for split in SPLITS if dataset.card.num_samples.get(split))
        file.parent.mkdir(parents=True, exist_ok=True)
        preview(dataset, split, options.number).save(file)
        print(file)
