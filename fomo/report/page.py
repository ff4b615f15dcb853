"""One HTML page for a run, or for several side by side: it needs no other file, no network and no script."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fomo.errors import FomoError
from fomo.report import words
from fomo.report.history import POOLS
from fomo.report.run_charts import curves, paths
from fomo.report.settings import changed, facts
from fomo.report.summary import CHANGES, MAIN, ScoredRun, groups, scored_runs
from fomo.report.view import RunView, read_view
from fomo.results.card import RunCard
from fomo.results.layout import REPORT
from fomo.results.measures import chosen
from fomo.system.writing import write_text

RELOAD_SECONDS = 60
"""After which the page of a run that goes on is loaded again."""


def write_report(run: Path, card: RunCard | None = None, out: Path | None = None) -> Path:
    """Write the page of a run, to ``report.html`` in its folder if to no other file; where it is.

    Args:
        run: The folder.
        card: Of a run that has not written it yet.
        out: Where to write.

    Raises:
        FomoError: nothing is scored yet, the run lacks a file that every run writes or has a broken one, or the page
            cannot be written.
    """
    view = read_view(run, card=card)
    path = out or run / REPORT
    _write(path, page([view], reload=not view.finished and out is None))
    return path


def _write(path: Path, text: str) -> None:
    if path.is_dir():
        raise FomoError(f"{path} is a folder: give the name of a file, as in {path / 'runs.html'}.")
    if not path.parent.is_dir():
        raise FomoError(f"{path}: there is no folder '{path.parent}'. Make it, or write elsewhere.")
    try:
        write_text(path, text)
    except OSError as error:
        raise FomoError(f"{path}: cannot be written ({error.strerror}).") from error


def write_side_by_side(runs: Sequence[Path], out: Path) -> list[str]:
    """Write a page of several runs to ``out``; what keeps some of them from being shown, a line each.

    Raises:
        FomoError: none can be shown; nothing is written then.
    """
    rows = scored_runs(runs, chosen([*MAIN.values(), *CHANGES.values()]))
    views: list[RunView] = []
    problems: list[str] = []
    shown: list[ScoredRun] = []
    for row in rows:
        try:
            views.append(read_view(row.folder, row.name, len(views)))
            shown.append(row)
        except FomoError as error:
            problems.append(str(error))
    if not views:
        raise FomoError(f"nothing to report: {'; '.join(problems)}")
    titles = [title for title, _ in groups(shown)]
    _write(out, page(views, problems, titles if len(titles) > 1 else []))
    return problems


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("fomo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {name: getattr(words, name) for name in words.FILTERS}
    return made


def page(
    views: Sequence[RunView], problems: Sequence[str] = (), apart: Sequence[str] = (), reload: bool = False
) -> str:
    """The HTML text.

    Args:
        views: The runs.
        problems: Why others are not shown.
        apart: What the runs are of, where they may not be compared.
        reload: Whether the page is written anew while the run goes on.
    """
    context: dict[str, Any] = {
        "views": views,
        "single": views[0] if len(views) == 1 else None,
        "problems": problems,
        "apart": apart,
        "reload": RELOAD_SECONDS if reload else 0,
        "facts": facts(views[0].config),
        "settings": changed([view.config for view in views]),
        "paths": paths(views),
        "curves": curves(views),
        "pools": POOLS,
        "domains": list(dict.fromkeys(row.domain for view in views for row in view.domains)),
        "datasets": list(dict.fromkeys(name for view in views for name in view.scores.datasets)),
        "streams": list({view.scores.stream.sha256 or id(view): view for view in reversed(views)}.values())[::-1],
    }
    return _environment().get_template("report.html").render(context)
