"""What checking and ranking 1,000 runs takes, and their page.

    python benchmarks/board.py [--runs 1000] [--rounds 5]

The runs are made up of those in ``results/``: their files with other scores, settings and seeds, and hashes to match, a
fifth as many entries as runs. Printed: the median of processor seconds over rounds of reading, checking and ranking,
and of writing the page, without the start of Python and its imports; the size of the page beside plotly's.
"""

import argparse
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from fomo.report.board_page import board_page, plotly_source
from fomo.report.leaderboard import leaderboard
from fomo.results.card import read_card
from fomo.results.config_file import comparable, read_config
from fomo.results.folders import results
from fomo.results.layout import CONFIG, LEDGER, SCORES, STREAM
from fomo.results.submission import opened
from fomo.system.digest import file_digest, json_digest
from fomo.system.reading import read_json
from fomo.system.writing import write_json

RESULTS = Path(__file__).parents[1] / "results"
SEEDS = 5
BAR = (2.0, 2.0)
"""Processor seconds, and MB beside plotly."""


def made_up(folder: Path, num_runs: int) -> None:
    """Write so many finished runs below ``folder``."""
    with ExitStack() as stack:
        models = [run for file in sorted(RESULTS.glob("*.zip")) for run in stack.enter_context(opened(file)).values()]
        for number in range(num_runs):
            entry, seed = divmod(number, SEEDS)
            _like(models[entry % len(models)], folder / f"{number:04}", entry, seed)


def _like(model: Path, run: Path, entry: int, seed: int) -> None:
    """A run of other scores, settings and seed than ``model``."""
    draw = random.Random(entry * SEEDS + seed)
    run.mkdir()
    for name in (STREAM, LEDGER):
        (run / name).write_bytes((model / name).read_bytes())
    scores = read_json(model / SCORES)
    for evaluation in [*scores["evaluations"], *scores.get("in_full", [])]:
        for group in (evaluation["scores"], evaluation["tasks"]):
            group.update({name: min(100.0, value * draw.uniform(0.9, 1.1)) for name, value in group.items()})
    write_json(run / SCORES, scores)
    values = _settings(read_config(model), entry, seed)
    (run / CONFIG).write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    card = replace(
        read_card(model),
        label=values["label"],
        config_sha256=json_digest(comparable(values)),
        scores_sha256=file_digest(run / SCORES),
        ledger_sha256=file_digest(run / LEDGER),
    )
    card.write(run)


def _settings(values: dict[str, Any], entry: int, seed: int) -> dict[str, Any]:
    rate = (entry + 1) * 1e-5
    label = f"{values['label'].partition(' ')[0]} optimizer.lr={rate:g}"
    return {**values, "seed": seed, "label": label, "optimizer": {**values["optimizer"], "lr": rate}}


def rounds(folder: Path, num: int) -> Iterator[tuple[float, float, int]]:
    """Processor seconds of ranking and of the page, and the bytes of the page beside plotly, of each round."""
    plotly = len(plotly_source().encode())
    for _ in range(num):
        started = time.process_time()
        board = leaderboard(results([folder]))
        ranked = time.process_time()
        page = board_page(board)
        done = time.process_time()
        assert not board.refused and not board.notes
        yield ranked - started, done - ranked, len(page.encode()) - plotly


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made_up(Path(scratch), options.runs)
        size = sum(file.stat().st_size for file in Path(scratch).rglob("*.*"))
        ranking, page, num_bytes = map(statistics.median, zip(*rounds(Path(scratch), options.rounds), strict=True))
    print(f"{date.today()}  {platform.machine()}, Python {platform.python_version()}, {options.rounds} rounds")
    print(f"{options.runs:,} runs, {size / 1e6:.1f} MB")
    print(f"checked and ranked  {ranking:6.2f} s")
    print(f"page                {page:6.2f} s")
    print(f"together            {ranking + page:6.2f} s   bar {BAR[0]}")
    print(f"page beside plotly  {num_bytes / 1e6:6.2f} MB  bar {BAR[1]}")


if __name__ == "__main__":
    main()
