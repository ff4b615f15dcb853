"""``fomo data prepare``: a public dataset, downloaded by torchvision, or those of `desktop`, become shards."""

import argparse
from pathlib import Path

from rich.console import Console

from fomo.errors import FomoError, check_allowed, unknown
from fomo.system.workers import num_cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("name", metavar="NAME", help="a dataset that `fomo data list` marks with prepare; or desktop")
    parser.add_argument("--out", type=Path, required=True, metavar="ROOT", help="the shards become a folder in ROOT")
    source = "where the original files lie, or are downloaded to (default: ROOT/.sources/NAME)"
    parser.add_argument("--source", type=Path, metavar="FOLDER", help=source)
    parser.add_argument("--info", type=Path, help="the folder of the reference's JSON: FoMo-in-Flux's own split")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="shrink images to this shorter side")
    asked = "desktop: prepare what its licence or origin keeps out as well (solar_cells, foods, silhouettes)"
    parser.add_argument("--with", dest="asked", nargs="+", default=[], metavar="SET", help=asked)
    debian = "desktop: prepare the datasets of Debian's packages as well (789 MB, by apt-get download)"
    parser.add_argument("--debian", action="store_true", help=debian)
    parser.add_argument("--workers", type=int, default=num_cores(), help="processes (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.set_defaults(act=prepare)


def prepare(options: argparse.Namespace) -> None:
    """Refuse what cannot be had; then download, check, unpack and write. What is there already is only shown."""
    from fomo.cli.data_desktop import NAME, prepare_desktop

    if options.name == NAME:
        prepare_desktop(options)
    else:
        _prepare_single(options)


def _prepare_single(options: argparse.Namespace) -> None:
    from fomo.cli.data_import import bring_in_with_bar, show_import
    from fomo.data.card import read_card
    from fomo.data.importing.job import check_destination
    from streams import catalogue
    from streams.prepare import RECIPES, prepared, prepared_as_reference

    check_preparable(options.name)
    check_allowed(not options.asked, "--with", "those of `fomo data prepare desktop` alone")
    check_allowed(not options.debian, "--debian", "`fomo data prepare desktop --debian` alone")
    check_allowed(options.workers >= 1, f"--workers {options.workers}", "1 and above")
    recipe = RECIPES[options.name]
    declared = catalogue.load()[options.name]
    root = options.source or options.out / ".sources" / options.name
    written = recipe.name if options.info is None else options.name
    if options.info is None:
        told = f"'{options.name}' names FoMo-in-Flux's split, which needs the reference's JSON (--info); here it"
        Console(stderr=True).print(f"{told} becomes '{written}'.", markup=False, soft_wrap=True)
    if not (options.out / written / "dataset.json").is_file():
        if (options.out / written).exists():
            raise FomoError(f"'{options.out / written}' is no finished dataset: remove it, or choose another --out.")
        check_destination(written, options.out)
        if options.info is None:
            source = prepared(recipe, declared, root, options.size)
        else:
            source = prepared_as_reference(recipe, declared, root, options.info, options.size)
        bring_in_with_bar(source, options.out, options.workers)
    show_import(read_card(options.out / written / "dataset.json"), options.out, options.json)


def check_preparable(name: str) -> None:
    """Refuse a name that is not declared, or whose data torchvision cannot download."""
    from streams import catalogue

    declared = catalogue.load()
    if name not in declared:
        way_out = "For your own images: `fomo data import folder PATH --name NAME --out ROOT`."
        raise unknown("dataset", name, ["desktop", *(each for each in declared if declared[each].torchvision)], way_out)
    if not declared[name].torchvision:
        page = declared[name].homepage
        raise FomoError(
            f"torchvision has no downloader for '{name}'; {f'its page is {page}' if page else 'its page is unknown'}. "
            f"Files laid out as in the reference come in with `fomo data import fomo-in-flux PATH --name {name} --info "
            f"INFO --out ROOT`."
        )
