"""``fomo data import KIND PATH``: your data, the reference's, or shards made elsewhere, as indexed shards."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from fomo.cli.progress import counted
from fomo.cli.screen import examples, print_json
from fomo.data.card import SPLITS, DatasetCard
from fomo.errors import FomoError
from fomo.system.text import escape, printable
from fomo.system.workers import num_cores

if TYPE_CHECKING:
    from fomo.data.importing.gathered import ImportOptions
    from fomo.data.importing.job import ImportSource

EXAMPLES = {
    "folder": "fomo data import folder photos --name birds --out data",
    "table": "fomo data import table birds.csv --columns file=path class=species --name birds --out data",
    "pairs": "fomo data import pairs photos --name birds --out data",
    "webdataset": "fomo data import webdataset wds_pets --name pets --out data",
    "fomo-in-flux": "fomo data import fomo-in-flux fomo_data --info fomo_info --name DTD --out data",
}


def add_commands(kinds: Any) -> None:
    """Add a parser per kind of import."""
    folder = _kind(kinds, "folder", "a tree of class folders", "the folder that holds the class folders")
    _add_tree_options(folder)
    folder.add_argument("--depth", type=int, metavar="N", help="name classes by the first N folders alone")
    folder.set_defaults(make_source=_folder)
    table = _kind(kinds, "table", "images that a CSV, JSON lines or COCO captions describe", "the table", several="+")
    _add_tree_options(table)
    table.add_argument("--images", type=Path, metavar="FOLDER", help="where the images lie (default: beside the table)")
    table.add_argument(
        "--columns", nargs="+", default=[], metavar="WHAT=COLUMN", help="file=, class=, caption=, split="
    )
    table.set_defaults(make_source=_table)
    pairs = _kind(kinds, "pairs", "images with a text or JSON beside each", "the folder that holds them")
    _add_tree_options(pairs)
    pairs.set_defaults(make_source=_pairs)
    shards = _kind(kinds, "webdataset", "shards of CLIP_benchmark, LAION, DataComp", "the folder that holds them")
    shards.add_argument("--classes", type=Path, metavar="FILE", help="names of the classes that the shards number")
    shards.add_argument(
        "--splits",
        default="given",
        help="given: as shards, folders or the JSON of samples say; ignore: whatever their JSON says; "
        "stratified or hash: a new split (default: given)",
    )
    shards.set_defaults(make_source=_webdataset)
    reference = _kind(kinds, "fomo-in-flux", "data of the public reference", "the folder that holds NAME or NAME.tar")
    reference.add_argument("--info", type=Path, required=True, help="the folder of the reference's JSON files")
    reference.add_argument(
        "--resized", type=int, metavar="PIXELS", help="the reference's resized copies, as NAME_test_224"
    )
    reference.set_defaults(make_source=_reference)


def _kind(kinds: Any, name: str, about: str, path: str, several: str | None = None) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(
        name,
        help=about,
        description=f"Bring in {about}.",
        epilog=examples(EXAMPLES[name]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, metavar="PATH", help=path, nargs=several)
    parser.add_argument("--name", required=True, help="the dataset's name")
    parser.add_argument("--out", type=Path, required=True, metavar="ROOT", help="the dataset becomes ROOT/NAME")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="shrink images to this shorter side")
    parser.add_argument("--workers", type=int, default=num_cores(), help="processes (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.set_defaults(act=import_data)
    return parser


def _add_tree_options(parser: argparse.ArgumentParser) -> None:
    """What all imports of image files take."""
    parser.add_argument(
        "--splits",
        default="given",
        help="given: the split that was made beforehand, else stratified; stratified or hash: a new one; "
        "ignore: folders named train or test are classes (default: given)",
    )
    parser.add_argument(
        "--conflicts",
        default="drop",
        help="of one image under two classes drop both, keep the first, or refuse (default: drop)",
    )
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names of the classes by identifier or number")
    parser.add_argument("--links", type=Path, metavar="FOLDER", help="follow links that lead into this folder")


def _tree_options(options: argparse.Namespace, depth: int | None = None) -> "ImportOptions":
    from fomo.data.importing.gathered import ImportOptions
    from fomo.data.importing.planning import Rules

    rules = Rules(options.splits, options.conflicts)
    return ImportOptions(rules, options.classes, depth, options.links)


def _folder(options: argparse.Namespace) -> "ImportSource":
    from fomo.data.importing.folder import folder_source

    return folder_source(options.path, options.name, options.size, _tree_options(options, options.depth))


def _table(options: argparse.Namespace) -> "ImportSource":
    from fomo.data.importing.tables import table_source

    wrong = [each for each in options.columns if "=" not in each]
    if wrong:
        raise FomoError(f"--columns {wrong[0]}: say what a column holds, as in `--columns file=id class=breed`.")
    columns = dict(each.split("=", 1) for each in options.columns)
    return table_source(options.path, options.images, options.name, options.size, _tree_options(options), columns)


def _pairs(options: argparse.Namespace) -> "ImportSource":
    from fomo.data.importing.folder import pairs_source

    return pairs_source(options.path, options.name, options.size, _tree_options(options))


def _webdataset(options: argparse.Namespace) -> "ImportSource":
    from fomo.data.importing.webdataset import webdataset_source

    return webdataset_source(options.path, options.name, options.size, options.classes, options.splits)


def _reference(options: argparse.Namespace) -> "ImportSource":
    from fomo.data.importing.reference import reference_source

    describe = partial(_as_declared, options.name)
    return reference_source(options.path, options.info, options.name, options.resized, options.size, describe)


def _as_declared(name: str, card: DatasetCard) -> DatasetCard:
    """With role, domain and licence of the catalogue, where it knows the dataset."""
    from streams import catalogue

    declared = catalogue.load().get(name)
    if declared is None:
        return card
    if card.kind != declared.kind:
        found = "primer captions" if card.kind == "classification" else "no primer captions"
        raise FomoError(f"'{name}' is a {declared.kind} dataset, but its JSON holds {found}: is it complete?")
    return declared.describe(card)


def import_data(options: argparse.Namespace) -> None:
    """Refuse what can be refused, then read on all cores; what was left out is counted and shown."""
    from fomo.data.importing.job import check_destination
    from streams import available

    check_destination(options.name, options.out)
    if available(options.out).get(options.name, options.out) is None:
        raise FomoError(f"--name '{options.name}' is the name of a pocket dataset: choose another --name.")
    if options.workers < 1:
        raise FomoError(f"--workers {options.workers}: allowed are 1 and above.")
    source = options.make_source(options)
    card = bring_in_with_bar(source, options.out, options.workers)
    show_import(card, options.out, options.json, source.remarks)


def bring_in_with_bar(source: "ImportSource", out: Path, num_workers: int) -> DatasetCard:
    """The import; how far it is stands on standard error, so that standard output holds results alone."""
    from fomo.data.importing.job import bring_in

    with counted(Console(stderr=True), f"importing {source.name}", source.total) as advance:
        return bring_in(source, out, num_workers, advance)


def show_import(card: DatasetCard, out: Path, as_json: bool, of_source: Sequence[str] = ()) -> None:
    """What came in and what did not, and what to know of it and of its source."""
    from fomo.data.importing.job import LEFT_OUT_FILE
    from fomo.data.inspect.remarks import remarks
    from fomo.data.shards import open_dataset

    folder = out / card.name
    notes = [*of_source, *remarks(open_dataset(folder))]
    if as_json:
        about = {"name": card.name, "folder": str(folder), "classes": len(card.classes), "source": card.source}
        print_json(about | {"images": dict(card.num_samples), "left_out": dict(card.counts), "notes": notes})
        return
    table = Table(show_header=False)
    for split in SPLITS:
        table.add_row(f"{split} images", str(card.num_samples[split]))
    table.add_section()
    for reason, count in card.counts.items():
        table.add_row(escape(f"left out: {reason}"), str(count))
    console = Console()
    console.print(printable(f"{card.name}: {len(card.classes)} classes in {folder}"), markup=False, soft_wrap=True)
    console.print(table)
    console.print(printable(f"source: {card.source or 'unknown'}"), markup=False, soft_wrap=True)
    for remark in notes:
        console.print(printable(f"note: {remark}"), markup=False, soft_wrap=True)
    if LEFT_OUT_FILE in card.hashes:
        console.print(printable(f"listed in {folder / LEFT_OUT_FILE}"), markup=False, soft_wrap=True)
