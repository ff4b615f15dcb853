"""``fomo data list``: the datasets of the benchmark and your own, with what is present here."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from fomo.cli.screen import is_wide, print_json, screen
from fomo.data.card import KINDS, ROLES, SPLITS, DatasetCard
from fomo.system.text import escape

if TYPE_CHECKING:
    from streams.catalogue import Declaration

LEGEND = """here: yes; differs (here, but not of FoMo-in-Flux's split sizes); else how to get it:
  prepare: fomo data prepare NAME --out ROOT; page: its address is in --json; unknown.
Numbers of what is not here are FoMo-in-Flux's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--root", type=Path, default=Path("data"), help="where your datasets lie (default: data)")
    parser.add_argument("--role", choices=ROLES, help="only datasets of this role")
    parser.add_argument("--kind", choices=list(KINDS), help="only datasets of this kind")
    parser.add_argument("--json", action="store_true", help="everything that is known, as JSON")
    parser.set_defaults(act=show)


def show(options: argparse.Namespace) -> None:
    """A row per dataset: those in the root and the pocket's, then those of FoMo-in-Flux that are not here."""
    known = everything(options.root)
    rows = [row for row in known if options.role in (None, row["role"]) and options.kind in (None, row["kind"])]
    if options.json:
        print_json(rows)
        return
    console = screen()
    console.print(_table(rows, is_wide(console)))
    console.print(LEGEND, markup=False, highlight=False, soft_wrap=True)


def everything(root: Path) -> list[dict[str, Any]]:
    """What is known of each dataset: its card where it is present, its declaration where it is declared."""
    from streams import available, catalogue, open_named

    declared = catalogue.load()
    here = {name: (open_named(name, root).card, folder) for name, folder in available(root).items()}
    rows = []
    for name in [*here, *(name for name in declared if name not in here)]:
        known = declared.get(name)
        card, folder = here.get(name, (None, None))
        row: dict[str, Any] = {"name": name, "present": card is not None, "folder": folder and str(folder)}
        if card is not None:
            row |= _of_card(card)
        if known is not None:
            row |= {key: value for key, value in _of_declaration(known).items() if row.get(key) in (None, "")}
            sizes = {split: row["num_samples"].get(split, 0) for split in ("train", "test")}
            row["as_declared"] = sizes == {"train": known.num_train, "test": known.num_test}
        rows.append(row)
    return rows


def _of_card(card: DatasetCard) -> dict[str, Any]:
    return {
        "role": card.role,
        "kind": card.kind,
        "domain": card.domain or None,
        "licence": card.licence or None,
        "metric": card.metric,
        "num_classes": len(card.classes),
        "num_samples": dict(card.num_samples),
        "decoding": card.decoding,
    }


def _of_declaration(known: "Declaration") -> dict[str, Any]:
    return {
        "role": known.role,
        "kind": known.kind,
        "domain": ", ".join(known.domain),
        "licence": known.licence,
        "metric": known.main_metric,
        "num_classes": known.num_classes,
        "num_samples": {"train": known.num_train, "test": known.num_test},
        "captions": known.captions,
        "time_group": known.time_group,
        "obtain": known.obtain,
        "homepage": known.homepage,
        "citation": known.citation,
    }


def _table(rows: list[dict[str, Any]], wide: bool) -> Table:
    numbers = (Column(name, justify="right", no_wrap=True) for name in ("classes", "train", "val", "test"))
    last = ("domain", "licence", "here") if wide else ("here",)
    table = Table(Column("name", no_wrap=True), "role", *numbers, *last, title="datasets")
    for row in rows:
        counts = [str(row["num_samples"].get(split, 0)) for split in SPLITS]
        domain = row["domain"] or "unknown"
        more = [domain if row["kind"] == "classification" else f"{domain}; {row['kind']}", row["licence"] or "unknown"]
        texts = [*(more if wide else ()), _place(row)]
        table.add_row(escape(row["name"]), row["role"], str(row["num_classes"]), *counts, *map(escape, texts))
    return table


def _place(row: dict[str, Any]) -> str:
    """Whether the data is here, else how to come by it: one of the words that :data:`LEGEND` explains."""
    if row["present"]:
        return "yes" if row.get("as_declared", True) else "differs"
    return "prepare" if row["obtain"].startswith("fomo ") else "page" if row["homepage"] else "unknown"
