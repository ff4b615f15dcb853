"""One HTML page for a run."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from fomo.errors import FomoError
from fomo.report.compute import compute_line
from fomo.report.figures import figure
from fomo.results.card import RunCard, read_card
from fomo.results.config_file import read_config
from fomo.results.layout import CARD, CONFIG, LEDGER, REPORT, STREAM, refuse_odd_files
from fomo.results.ledger import read_ledger
from fomo.results.scores import Scores, read_scores
from fomo.results.stages import read_stages
from fomo.results.stream import read_stream
from fomo.system.reading import read_text
from fomo.system.writing import write_text


def write_report(run: Path, card: RunCard | None = None) -> Path:
    """Write ``report.html``, which needs no other file and no network. Every name in it is escaped.

    ``card`` is that of a run which has not written it yet.

    Raises:
        FomoError: the run has no score yet.
    """
    refuse_odd_files(run)
    scores = read_scores(run)
    if not scores.points:
        raise FomoError(f"{run}: nothing to report yet: no evaluation is written.")
    card = card or (read_card(run) if (run / CARD).is_file() else None)
    write_text(run / REPORT, page(run, scores, figure(scores), card))
    return run / REPORT


@cache
def _template() -> Template:
    environment = Environment(loader=PackageLoader("fomo.report"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html")


def page(run: Path, scores: Scores, drawing: str, card: RunCard | None) -> str:
    """The HTML text.

    Args:
        run: The folder.
        scores: Of the run.
        drawing: A PNG as base64.
        card: Of a finished run.

    Raises:
        FomoError: the run lacks a file that every run writes, or has a broken one.
    """
    ledger = read_ledger(run) if (run / LEDGER).is_file() else None
    values = read_config(run)
    if not (run / STREAM).is_file():
        raise FomoError(f"{run / STREAM} is missing: every run writes it when it starts.")
    return _template().render(
        scores=scores,
        label=values.get("label", ""),
        seed=values["seed"],
        config=read_text(run / CONFIG),
        ledger=ledger,
        compute=compute_line(ledger) if ledger else "",
        tasks=read_stream(run).tasks,
        rows=_rows(scores),
        figure=drawing,
        stages=read_stages(card.compute) if card else [],
    )


def _rows(scores: Scores) -> list[dict[str, Any]]:
    return [
        {"name": name, "role": about.role, "num_samples": about.num_samples}
        | {"path": [evaluation.scores[name] for evaluation in scores.evaluations]}
        for name, about in scores.datasets.items()
    ]
