"""Tables of a run for the terminal."""

from pathlib import Path

from rich.table import Column, Table

from fomo.report.compute import compute_line
from fomo.results.card import read_card
from fomo.results.config_file import read_config
from fomo.results.layout import CARD, LEDGER
from fomo.results.ledger import read_ledger
from fomo.results.scores import Scores
from fomo.results.scores_file import read_scores
from fomo.system.text import escape

METRICS = {"accuracy": "zero-shot top-1 accuracy"}


def result_table(run: Path) -> Table:
    """Every dataset before and after, then KA, ZS and GM.

    Raises:
        FomoError: the run is not finished.
    """
    scores = read_scores(run)
    base, deployed = scores.ends
    first = scores.point(base)
    final = scores.final
    label = read_config(run).get("label", "")
    compute = [compute_line(read_ledger(run))] if (run / LEDGER).is_file() else []
    table = Table(
        "dataset",
        "role",
        *(Column(name, justify="right") for name in ("before", "after", "change")),
        title=escape(f"{label} on {scores.stream.name}, {scores.num_tasks} updates"),
        caption="\n".join([_caption(scores, run), *compute]),
    )
    for name, about in scores.datasets.items():
        table.add_row(escape(name), escape(about.role), *_change(base.scores[name], deployed.scores[name]))
    table.add_section()
    for name, meaning in (("ka", "KA: accumulation"), ("zs", "ZS: retention"), ("gm", "GM: √(KA·ZS)")):
        table.add_row(meaning, "", *_change(getattr(first, name), getattr(final, name)), style="bold")
    return table


def _change(before: float, after: float) -> tuple[str, str, str]:
    color = "green" if after > before else "red" if after < before else "default"
    return f"{before:.1f}", f"{after:.1f}", f"[{color}]{after - before:+.1f}[/]"


def _caption(scores: Scores, run: Path) -> str:
    caveats = f" · {', '.join(scores.caveats)}" if scores.caveats else ""
    seconds = f"{read_card(run).seconds:.0f} s · " if (run / CARD).is_file() else ""
    found = sorted({about.metric for about in scores.datasets.values()})
    metrics = " or ".join(METRICS.get(metric, metric) for metric in found)
    return escape(f"{metrics} in percent · {seconds}{scores.split} split{caveats}")
