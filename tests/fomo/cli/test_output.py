"""What becomes of output that nobody reads, or that has not every sign: one place, for every command."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fomo.cli import main
from fomo.system.text import PLAIN
from tests.fomo.helpers import evaluation, run_folder
from tests.waiting import PATIENCE_SECONDS

TOP = Path(__file__).parents[3]
NUM_COMMANDS = 14
NAME = "Größe=\u05d0 ± 🎉"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders with a name that ASCII has not."""
    folder = tmp_path_factory.mktemp("runs")
    steps = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60), evaluation(2, 40, 40, 40))
    for seed in range(40):
        run_folder(folder / str(seed), *steps, seed=seed, label=NAME, lr=seed)
    return folder


def commands(runs: Path) -> list[list[str]]:
    """Every kind of output: tables of rich, text, JSON and help, of commands that need no torch."""
    board = ["leaderboard", str(runs)]
    return [
        board,
        *([*board, "--format", name] for name in ("markdown", "latex", "csv", "json")),
        ["score", str(runs), "--path"],
        ["score", str(runs), "--json"],
        ["methods"],
        ["methods", "lora"],
        ["methods", "--json"],
        ["data", "list"],
        ["data", "list", "--json"],
        ["leaderboard", "--help"],
        ["--help"],
    ]


def started(words: Sequence[str], **environment: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "fomo", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=TOP, env={**os.environ, **environment})


@pytest.mark.parametrize("number", range(NUM_COMMANDS))
def test_a_reader_that_goes_ends_a_command_without_a_word(number: int, runs: Path) -> None:
    """The pipe is closed before the first byte, so that no buffer hides it."""
    words = commands(runs)[number]
    process = started(words)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read().decode()
    status = process.wait(PATIENCE_SECONDS)
    assert said == "" and status in ((0, 1) if "--help" in words else (1,)), words


def test_an_error_that_nobody_reads_ends_a_command_too(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "fomo", "score", str(tmp_path / "absent")]
    done = subprocess.run(command, stdout=write, stderr=write, cwd=TOP, timeout=PATIENCE_SECONDS, check=False)
    os.close(write)
    assert done.returncode != 0


def test_a_broken_pipe_of_something_else_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(arguments: list[str]) -> None:
        raise BrokenPipeError("of a worker")

    monkeypatch.setattr("fomo.cli.score.main", breaking)
    with pytest.raises(BrokenPipeError, match="of a worker"):
        main(["score", "runs"])


@pytest.mark.parametrize("number", range(NUM_COMMANDS))
def test_an_output_of_ascii_gets_everything_in_ascii(
    number: int, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = commands(runs)[number]
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", errors="strict", write_through=True) as output:
        monkeypatch.setattr("sys.stdout", output)
        try:
            main(words)
        except SystemExit as end:
            assert end.code == 0
        text = raw.getvalue().decode("ascii")
    assert text
    if words[-1] in ("--json", "json"):
        content = json.loads(text)
        labels = [run.get("method", run.get("label")) for run in content] if words[0] == "score" else []
        assert set(labels) <= {NAME}
    if words == ["leaderboard", str(runs)]:
        assert "+-" in text and "sqrt(KA*ZS)" in text and "Gr\\xf6\\xdfe" in "".join(text.split())


def test_a_process_whose_locale_has_no_unicode_ends_well(runs: Path) -> None:
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}):
        process = started(["leaderboard", str(runs)], **environment)
        out, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0 and not said and out


@pytest.mark.parametrize(
    ("text", "shown"),
    [("1 ± 2", "1 +- 2"), ("é\u05d0", "\\xe9\\u05d0"), ("🎉━", "??"), ("→…", "->..."), ("a\n", "a\n")],
)
def test_signs_that_are_not_there(text: str, shown: str) -> None:
    assert text.encode("ascii", PLAIN).decode() == shown
