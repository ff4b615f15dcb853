"""``fomo score``: KA, ZS and GM of runs and what they changed, and other metrics, from ``scores.json`` alone."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.table import Column, Table

from fomo.cli.screen import fitting, print_json, screen
from fomo.errors import FomoError
from fomo.report.summary import CHANGES, FINISHED, MAIN, WRONG, ScoredRun, groups, scored_runs, summary
from fomo.report.uncertainty import TITLE, Uncertain, rows, uncertainties
from fomo.results.folders import run_folders
from fomo.results.layout import SCORES
from fomo.results.measures import OF_DOMAIN, Metric, chosen, names_in, registry
from fomo.results.metrics import domains
from fomo.results.scores import Scores
from fomo.results.scores_file import read_scores
from fomo.system.text import escape, printable

EXAMPLES = """examples:
  fomo score runs                                a table of all runs below runs, finished or not
  fomo score runs/a runs/b --path                and KA, ZS and GM after each update
  fomo score runs --metrics forgetting,last      more columns; all: every one of the metrics below
  fomo score runs --metrics domains              means by domain; domain:natural: of one
  fomo score runs --bootstrap                    intervals over test samples (runs with evaluation.keep_samples=true)
  fomo score runs --json                         for programs"""
DOMAINS = "domains"
"""What stands in a list of metrics for those of all domains."""
CAPTION = "In percent; Δ: against the base model, zero-shot, in points. GM = √(KA·ZS)."


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo score",
        description=__doc__,
        epilog=f"{EXAMPLES}\n\nmetrics:\n{listed()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders, or folders of them")
    made.add_argument("--metrics", metavar="NAME,…", help="further metrics to show, or all")
    made.add_argument("--bootstrap", action="store_true", help="show intervals over test samples, where they are kept")
    made.add_argument("--path", action="store_true", help="show KA, ZS and GM after each update too")
    made.add_argument("--json", action="store_true", help="print JSON alone")
    return made


def listed() -> str:
    """Every metric, a line each; of a package's it is said whose it is, and nothing is imported."""
    return "\n".join(f"  {name:<18} {printable(_about(metric))}" for name, metric in registry().items())


def _about(metric: Metric | EntryPoint) -> str:
    if isinstance(metric, EntryPoint):
        return f"of {metric.dist.name if metric.dist else 'an unknown package'}: `fomo methods {metric.name}`"
    return f"{metric.about}, in {'percent' if metric.unit == '%' else metric.unit}"


def main(arguments: list[str]) -> None:
    """Print a table of the runs, or one JSON list. Status ≠ 0 if a run is not finished, or cannot be read."""
    options = parser().parse_args(arguments)
    folders = [run for folder in options.folders for run in _runs(folder)]
    further = _with_domains(names_in(options.metrics), folders)
    runs = scored_runs(folders, chosen([*MAIN.values(), *CHANGES.values(), *further]))
    of_samples = _uncertain(runs) if options.bootstrap else {}
    if options.json:
        kept = {folder: {"over_test_samples": each.to_json()} for folder, each in of_samples.items()}
        print_json([run.to_json() | kept.get(run.folder, {}) for run in runs])
    else:
        show(runs, further, options.path, screen(), of_samples)
    if wrong := [_wrong(run) for run in runs if run.status != FINISHED]:
        raise FomoError("; ".join(wrong))


def _runs(folder: Path) -> list[Path]:
    found = [folder] if (folder / SCORES).is_file() else run_folders([folder])
    if not found:
        raise FomoError(f"{folder}: it holds no scores.json, and no run folders. Is it a run folder?")
    return found


def _with_domains(names: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """The names of metrics, ``domains`` being one for each domain that some run has."""
    if DOMAINS not in names:
        return list(names)
    found: set[str] = set()
    for folder in folders:
        with suppress(FomoError):  # said where the run has its row
            found |= set(domains(read_scores(folder)))
    return [each for name in names for each in (_of_domains(found) if name == DOMAINS else [name])]


def _of_domains(found: Iterable[str]) -> list[str]:
    """The names of the metrics of domains."""
    return [f"{OF_DOMAIN}{domain}" for domain in sorted(found)]


def _uncertain(runs: Sequence[ScoredRun]) -> dict[Path, Uncertain]:
    """Intervals over test samples, by folder; runs are compared within their table."""
    together = [of_group for _, of_group in groups(runs)]
    return {run.folder: each for group in together for run, each in zip(group, uncertainties(group), strict=True)}


def _wrong(run: ScoredRun) -> str:
    return run.problem if run.status == WRONG else f"{run.folder} is not finished: {run.problem}"


def show(
    runs: Sequence[ScoredRun],
    further: Sequence[str],
    path: bool,
    console: Console,
    of_samples: Mapping[Path, Uncertain] = MappingProxyType({}),
) -> None:
    """A table for every group of runs that may be compared, what is wrong with some below it, then each path.

    Args:
        runs: The runs.
        further: Metrics to show beside KA, ZS and GM.
        path: Whether to show the scores after every update.
        console: Where to.
        of_samples: Intervals over test samples, by folder; empty: they are not asked for.
    """
    for title, of_group in groups(runs):
        table = summary(of_group, further)
        _say(console, title)
        if table.shared:
            _say(console, f"All with {table.shared}.")
        for part in fitting(table.heads, table.rows, table.words, console.width):
            console.print(part)
        for run in of_group:
            if run.problem:
                _say(console, f"{run.name}: {run.problem}")
            for names, reason in _undefined(run):
                _say(console, f"{run.name} has no {names}: {reason}")
        if of_samples:
            _show_samples(of_group, [of_samples[run.folder] for run in of_group], console)
        console.print()
    _say(console, CAPTION)
    for run in runs if path else ():
        if run.scores is not None:
            console.print(path_table(run.name, run.scores))


def _undefined(run: ScoredRun) -> list[tuple[str, str]]:
    """The metrics that a run has not, those with one reason together."""
    reasons: dict[str, list[str]] = {}
    for name, reason in run.undefined.items():
        reasons.setdefault(reason, []).append(name)
    return [(", ".join(names), reason) for reason, names in reasons.items()]


def _show_samples(runs: Sequence[ScoredRun], found: Sequence[Uncertain], console: Console) -> None:
    _say(console, TITLE)
    heads, cells = rows(runs, found)
    for part in fitting(heads, cells, ("run",), console.width):
        console.print(part)
    for run, each in zip(runs, found, strict=True):
        if each.problem and each.problem != run.problem:
            _say(console, f"{run.name}: {each.problem}")


def _say(console: Console, text: str) -> None:
    console.print(printable(text), highlight=False, markup=False)


def path_table(name: str, scores: Scores) -> Table:
    """One row per update, and the first and the last model in full where the others are of a subset."""
    caveats = f" ({', '.join(scores.caveats)})" if scores.caveats else ""
    columns = (Column(head, justify="right") for head in ("update", "KA", "ZS", "GM"))
    result = Table(*columns, title=escape(f"{name}{caveats}"))
    named = [("base" if point.task == 0 else str(point.task), point) for point in scores.points]
    in_full = [(f"{'base' if each.task == 0 else each.task}, in full", scores.point(each)) for each in scores.in_full]
    for update, point in [*named, *in_full]:
        result.add_row(update, *(f"{value:.2f}" for value in (point.ka, point.zs, point.gm)))
    return result
