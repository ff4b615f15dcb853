"""Tables fit into 80 columns, whatever they hold; and what takes long is seen to go on without a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fomo.cli import main
from fomo.cli.progress import CountedLines
from tests.fomo.helpers import evaluation, imported, run_folder
from tests.tiny import TINY

TOP = Path(__file__).parents[3]
DRAWN = "│┃┏┓└┘├┤━─┡┩╇"
STEPS = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60), evaluation(2, 40, 40, 40))
LONG = "lora trainable.rank=16 trainable.placement=all optimizer.lr=0.00012345 mixture=update_only"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with long names and labels."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(2):
        run_folder(folder / f"{'a_very_long_folder_name_' * 3}{seed}", *STEPS, seed=seed, label=LONG)
        run_folder(folder / f"short{seed}", *STEPS[:2], seed=seed)
    return folder


COMMANDS = {
    "score": ["score", "RUNS", "--metrics", "all", "--path"],
    "leaderboard": ["leaderboard", "RUNS", "--metrics", "all"],
    "methods": ["methods"],
    "a method": ["methods", "lora_ema"],
    "data": ["data", "list"],
    "stream": ["stream", "show", *(each for each in TINY if each.startswith("stream."))],
    "budget": ["budget", "method=finetune,lora_ema,ewc", *TINY],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_tables_fit_into_80_columns(
    name: str, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    try:
        main([str(runs) if word == "RUNS" else word for word in COMMANDS[name]])
    except SystemExit as end:  # runs that are not finished are said
        assert name == "score" and end.code == 2
    lines = capsys.readouterr().out.splitlines()
    tables = [line for line in lines if set(line) & set(DRAWN)]
    assert lines and (tables or name == "a method")
    assert [line for line in lines if len(line) > 80 and (line in tables or "  " in line.strip())] == []


def test_an_import_shows_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported(tmp_path)
    capsys.readouterr()
    words = ["data", "import", "folder", str(tmp_path / "tree"), "--name", "again", "--out", str(tmp_path)]
    main([*words, "--json"])
    shown = capsys.readouterr()
    about = json.loads(shown.out)
    assert about["name"] == "again" and about["classes"] == 4 and sum(about["images"].values()) <= 40
    assert shown.err.splitlines()[-1].startswith("importing again: ") and "\x1b" not in shown.err


def test_counted_work_is_said_at_once_then_now_and_then_and_at_the_end() -> None:
    said: list[str] = []
    now = [0.0]
    lines = CountedLines(said.append, "reading", 4, lambda: now[0])
    for _ in range(4):
        lines.advance(1, ", well")
        now[0] += 20
    lines.end()
    assert said == [
        "reading, well: 1 of 4, 0:00:00 so far",
        "reading, well: 3 of 4, 0:00:40 so far",
        "reading, well: 4 of 4, 0:01:20 so far",
    ]


def test_without_a_terminal_lines_come_while_a_run_goes_on(tmp_path: Path) -> None:
    """Into a pipe, where Python keeps what it prints until it ends, unless it is told otherwise."""
    command = [sys.executable, "-m", "fomo", "run", *TINY, "run.dir=run", "method=lnfit"]
    environment = {**os.environ, "PYTHONPATH": str(TOP), "FORCE_COLOR": ""}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, text=True, env=environment)
    assert process.stdout is not None
    first = process.stdout.readline() + process.stdout.readline()  # what it will cost, and how far it is
    running = process.poll() is None and not (tmp_path / "run" / "card.json").exists()
    rest = process.stdout.read()
    assert process.wait(120) == 0 and running and "6 steps to take in 2 tasks" in first
    assert "\x1b" not in first + rest and "after task 2: KA" in rest
