"""What a person looks at after a run: a table in the terminal, one HTML page with plots."""

import base64
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from rich.table import Table

from fomo.config.schema import read_values
from fomo.errors import FomoError
from fomo.results.files import read_ledger, read_run_card, read_tasks, refuse_odd_files
from fomo.results.scores import Point, Scores, read_scores
from fomo.system.reading import read_text
from fomo.system.text import escape
from fomo.system.writing import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = {"accuracy": "zero-shot top-1 accuracy"}
KA_COLOR, ZS_COLOR = "#c2410c", "#1d4ed8"


def result_table(folder: Path) -> Table:
    """Every dataset before and after, then KA, ZS and GM."""
    scores, card, ledger = read_scores(folder), _card(folder), _ledger(folder)
    final, first = scores.final, scores.points[0]
    label = read_values(folder / "config.yaml").get("label", "")
    table = Table(
        title=escape(f"{label} on {scores.content['stream']['name']}, {scores.num_tasks} updates"),
        caption="\n".join([_caption(scores, card), *([compute_line(ledger)] if ledger else [])]),
    )
    for column in ("dataset", "role"):
        table.add_column(column)
    for column in ("before", "after", "change"):
        table.add_column(column, justify="right")
    for name, about in scores.datasets.items():
        before, after = (scores.evaluations[i]["scores"][name] for i in (0, -1))
        table.add_row(escape(name), escape(about["role"]), *_change(before, after))
    table.add_section()
    for name, meaning in (("ka", "KA: accumulation"), ("zs", "ZS: retention"), ("gm", "GM: √(KA·ZS)")):
        table.add_row(meaning, "", *_change(getattr(first, name), getattr(final, name)), style="bold")
    return table


def _change(before: float, after: float) -> tuple[str, str, str]:
    color = "green" if after > before else "red" if after < before else "default"
    return f"{before:.1f}", f"{after:.1f}", f"[{color}]{after - before:+.1f}[/]"


def _card(folder: Path) -> dict[str, Any]:
    return read_run_card(folder) if (folder / "card.json").is_file() else {}


def _caption(scores: Scores, card: dict[str, Any]) -> str:
    marks = f" · {', '.join(scores.marks)}" if scores.marks else ""
    seconds = f"{card['seconds']:.0f} s · " if card else ""
    found = {about.get("metric", "accuracy") for about in scores.datasets.values()}
    metrics = " or ".join(METRICS.get(metric, metric) for metric in sorted(found))
    return escape(f"{metrics} in percent · {seconds}{scores.content['split']} split{marks}")


def write_report(folder: Path) -> Path:
    """Write ``report.html``, which needs no other file and no network. Every name in it is escaped.

    Raises:
        FomoError: the run has no score yet.
    """
    refuse_odd_files(folder)
    scores = read_scores(folder)
    if not scores.points:
        raise FomoError(f"{folder}: nothing to report yet: no evaluation is written.")
    path = folder / "report.html"
    write_text(path, page(folder, scores, figure(scores)))
    return path


@cache
def _template() -> Template:
    environment = Environment(loader=PackageLoader("fomo.report"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html")


def page(folder: Path, scores: Scores, drawing: str) -> str:
    """The HTML text; ``drawing`` is the base64 text of a PNG."""
    ledger, values = _ledger(folder), read_values(folder / "config.yaml")
    return _template().render(
        scores=scores,
        label=values.get("label", ""),
        seed=values["seed"],
        config=read_text(folder / "config.yaml"),
        ledger=ledger,
        compute=compute_line(ledger) if ledger else "",
        tasks=_tasks(folder),
        rows=_rows(scores),
        figure=drawing,
    )


def _tasks(folder: Path) -> list[list[str]]:
    path = folder / "stream.json"
    if not path.is_file():
        raise FomoError(f"{path} is missing: every run writes it when it starts.")
    return read_tasks(folder)


def compute_line(ledger: dict[str, Any]) -> str:
    """What was spent, in a few words: ``360 steps, 1,910 of 1,920 MAFs (GFLOPs)``."""
    charged, total = ledger["charged"], ledger["total"]
    lost = f" ({ledger['lost_steps']} lost)" if ledger.get("lost_steps") else ""
    steps = f"{charged['steps']} of {ledger['planned']['steps']} steps{lost}"
    if ledger["unit"] == "total_mafs":
        return f"{steps}, {charged['mafs']:,.5g} of {total:,.5g} MAFs (GFLOPs)"
    gflops = f"{charged['flops'] / 1e9:,.5g}"
    return (
        f"{steps}, {gflops} of {total:,.5g} GFLOPs" if ledger["unit"] == "total_gflops" else f"{steps}, {gflops} GFLOPs"
    )


def _ledger(folder: Path) -> dict[str, Any] | None:
    return read_ledger(folder) if (folder / "ledger.json").is_file() else None


def _rows(scores: Scores) -> list[dict[str, Any]]:
    return [
        {"name": name, "role": about["role"], "num_samples": about["num_samples"]}
        | {"path": [evaluation["scores"][name] for evaluation in scores.evaluations]}
        for name, about in scores.datasets.items()
    ]


def figure(scores: Scores) -> str:
    """KA and ZS per task beside the KA–ZS plane, as the base64 text of a PNG."""
    from matplotlib.figure import Figure  # takes a while to import

    drawing = Figure(figsize=(10, 4), layout="constrained")
    left, right = drawing.subplots(1, 2)
    _plot_path(left, scores.points)
    _plot_plane(right, scores.points)
    return base64.b64encode(png(drawing)).decode()


def png(drawing: "Figure") -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _plot_path(axes: Any, points: list[Point]) -> None:
    tasks = [point.task for point in points]
    axes.plot(tasks, [p.ka for p in points], "o-", color=KA_COLOR, label="KA: knowledge accumulation")
    axes.plot(tasks, [p.zs for p in points], "s-", color=ZS_COLOR, label="ZS: zero-shot retention")
    axes.plot(tasks, [p.gm for p in points], "--", color="gray", label="GM")
    axes.set(xlabel="update", ylabel="accuracy [%]", ylim=(0, 100), xticks=tasks, title="per update")
    axes.grid(alpha=0.3)
    axes.legend()


def _plot_plane(axes: Any, points: list[Point]) -> None:
    axes.plot([p.ka for p in points], [p.zs for p in points], "-", color="gray", zorder=1)
    shades = [p.task for p in points]
    axes.scatter([p.ka for p in points], [p.zs for p in points], c=shades, cmap="viridis", zorder=2)
    for point in (points[0], points[-1]):
        axes.annotate(f"update {point.task}", (point.ka, point.zs), xytext=(6, 6), textcoords="offset points")
    axes.set(xlabel="KA [%]: what was learned", ylabel="ZS [%]: what was kept", xlim=(0, 100), ylim=(0, 100))
    axes.set_title("KA–ZS plane: up and right is better")
    axes.grid(alpha=0.3)
