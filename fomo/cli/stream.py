"""``fomo stream``: order concepts into a stream file, look at a stream, check that it is sound."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from fomo.cli.screen import examples, is_wide, print_json, screen
from fomo.cli.stream_facts import FactFinder
from fomo.cli.stream_tables import dataset_table, print_hashes, print_report, task_table
from fomo.config.compose import compose
from fomo.errors import FomoError, check_allowed

if TYPE_CHECKING:
    from fomo.config.schema import Config
    from fomo.stream.plan import StreamPlan

EPILOG = """examples:
  fomo stream build ordering=similarity --out similar.json     order the default stream by its text embeddings
  fomo stream build stream=images stream.adaptation=[NAME] ordering=frequency --captions captions.txt --out rare.json
  fomo stream show similar.json num_tasks=6 --plot domains.png
  fomo stream verify similar.json --perceptual
  fomo run stream=file stream.path=similar.json num_tasks=6 batch_size=128 budget=steps budget.steps=360

Overrides are those of `fomo run`; a file stands for stream=file stream.path=FILE, ordering= for stream.ordering=."""
EXAMPLES = {
    "build": "fomo stream build ordering=similarity --out similar.json",
    "show": "fomo stream show similar.json num_tasks=6 --plot domains.png",
    "verify": "fomo stream verify similar.json --perceptual",
}
PER_CLASS = 50
RADIUS = 4
LARGEST_RADIUS = 16


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    made = argparse.ArgumentParser(
        "fomo stream", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = made.add_subparsers(required=True, metavar="build | show | verify")
    for name, about, act in (
        ("build", "order concepts and write them to a stream file", build),
        ("show", "tasks, datasets, counts and hashes", show),
        ("verify", "every concept available? nothing held out trained on?", verify),
    ):
        command = commands.add_parser(
            name,
            help=about,
            description=about,
            epilog=examples(EXAMPLES[name]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument(
            "overrides", nargs="*", metavar="FILE | KEY=VALUE", help="a stream file; values as Hydra reads"
        )
        command.set_defaults(act=act)
        _add_options(name, command)
    return made


def main(arguments: list[str]) -> None:
    """``fomo stream build | show | verify``."""
    read = parser()
    options, rest = read.parse_known_args(arguments)
    flags = [each for each in rest if each.startswith("-")]
    if flags:
        read.error(f"unknown option {flags[0]}")
    options.overrides += rest
    options.act(options)


def _add_options(name: str, command: argparse.ArgumentParser) -> None:
    if name == "build":
        command.add_argument("--out", type=Path, metavar="FILE", help="where to (default: standard output)")
        command.add_argument(
            "--captions", type=Path, metavar="SOURCE", help="a text file, a table, shards (default: the pool)"
        )
        command.add_argument("--time-groups", type=Path, metavar="FILE", help='JSON: {"DATASET": number}')
        command.add_argument("--per-class", type=int, default=PER_CLASS, help=f"images to score (default {PER_CLASS})")
        return
    command.add_argument("--json", action="store_true", help="print JSON alone")
    if name == "show":
        command.add_argument("--plot", type=Path, metavar="FILE", help="draw the domains of every task to a PNG")
    else:
        command.add_argument("--perceptual", action="store_true", help="look for near duplicates too")
        command.add_argument(
            "--radius", type=int, default=RADIUS, metavar="BITS", help=f"bits that may differ (default {RADIUS})"
        )


def configured(overrides: list[str]) -> "tuple[Config, StreamPlan]":
    """The configuration that ``fomo run`` would take, and the plan of its stream."""
    given = _with_file(overrides)
    values = compose([f"stream.{each}" if each.startswith("ordering=") else each for each in given])
    from fomo.config.factory import stream_plan
    from fomo.config.schema import resolve

    config = resolve(values).config
    return config, stream_plan(config)


def _with_file(items: list[str]) -> list[str]:
    """A stream file among the overrides stands for ``stream=file stream.path=FILE``."""
    files = [item for item in items if "=" not in item or os.path.isfile(item)]  # a list of names may be too long
    if len(files) > 1:
        raise FomoError(f"one stream file at a time: {', '.join(files)}.")
    if not files:
        return items
    quoted = files[0].replace("\\", "\\\\").replace("'", "\\'")
    return ["stream=file", f"stream.path='{quoted}'", *(item for item in items if item not in files)]


def build(options: argparse.Namespace) -> None:
    """Order the concepts and write them; what takes long starts when everything is checked."""
    from streams.stream_files import as_text, check_new, write_concepts

    if options.out is not None:
        check_new(options.out)
    check_allowed(options.per_class >= 1, f"--per-class {options.per_class}", "1 and above")
    config, plan = configured(options.overrides)
    console = Console(stderr=options.out is None)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        sources = (options.captions, options.time_groups, options.per_class)
        finder = FactFinder(config, plan, *sources, console, progress, progress.add_task("ordering", total=None))
        concepts = plan.ordered(config.stream_seed, finder.facts())
    if options.out is None:
        sys.stdout.write(as_text(concepts) + "\n")
        return
    write_concepts(options.out, concepts)
    about = f"{options.out}: {len(concepts)} concepts of {len(plan.adaptation)} datasets, ordering {plan.ordering}"
    console.print(f"{about}, seed {config.stream_seed}", soft_wrap=True, markup=False, highlight=False)


def show(options: argparse.Namespace) -> None:
    """Print what a stream consists of, and plot it where that is asked for."""
    from streams.summary import plot_domains, summary

    if options.plot is not None and not options.plot.parent.is_dir():
        raise FomoError(f"--plot '{options.plot}': the folder '{options.plot.parent}' is not there.")
    config, plan = configured(options.overrides)
    shown = summary(plan, config.num_tasks, config.stream_seed, config.evaluation.split)
    if options.plot is not None:
        plot_domains(shown, options.plot)
    if options.json:
        print_json(shown.to_json())
        return
    console = screen()
    console.print(task_table(shown, is_wide(console)), dataset_table(shown))
    print_hashes(shown, console)
    if options.plot is not None:
        console.print(f"plot: {options.plot}", soft_wrap=True, markup=False, highlight=False)


def verify(options: argparse.Namespace) -> None:
    """Print whether a stream is sound; status 2 if there is a fault."""
    from fomo.config import factory
    from fomo.evaluation.prompts import alike_classes, num_cut_prompts
    from streams.verify import HELD_OUT_SPLITS, refuse_unsound
    from streams.verify import verify as examine

    radius = options.radius
    check_allowed(0 <= radius <= LARGEST_RADIUS, f"--radius {radius}", f"0 to {LARGEST_RADIUS} bits")
    config, plan = configured(options.overrides)
    tokenize = factory.model_shapes(config).tokenize
    alike = partial(alike_classes, templates=config.evaluation.templates_used, tokenize=tokenize)
    num_cut = partial(num_cut_prompts, templates=config.evaluation.templates_used, tokenize=tokenize)
    console = Console(stderr=options.json)
    with console.status("drawing images (once, then cached)"):
        plan.draw_ahead(("train",), HELD_OUT_SPLITS)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("comparing images", total=None)

        def moved(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        report = examine(plan, radius if options.perceptual else None, moved, alike, num_cut)
    if options.json:
        print_json(report.to_json())
    else:
        print_report(plan.name, report, console)
    refuse_unsound(report)
