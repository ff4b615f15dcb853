"""The board as tables: made-up runs on a terminal, in Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from fomo.report.board import CAPTION, cell, comma_separated, in_words, latex, markdown, tables
from fomo.report.entries import Board
from fomo.report.leaderboard import leaderboard
from fomo.results.statistics import Interval, interval
from fomo.system.text import spreadsheet
from tests.fomo.helpers import evaluation, run_folder, status

BASE = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60))
HOSTILE = "<script>alert(1)</script> | `a` *b* _c_ [d](e) & 100% $x$ #1 {f} ~ ^ \\input{g} \x1b[31m\u202e\u05d0\n# h 🎉"


def runs(folder: Path, label: str, *results: tuple[float, float], lr: float = 1.0, **scores: object) -> list[Path]:
    """A run of each seed, with these KA and ZS."""
    return [
        run_folder(
            folder / f"{lr:g}-{seed}",
            *BASE,
            evaluation(2, ka, ka, zs),
            seed=seed,
            label=label,
            lr=lr,
            **scores,  # type: ignore[arg-type]
        )
        for seed, (ka, zs) in enumerate(results)
    ]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Three methods: two that cannot be told apart, and one that has kept more and learned little."""
    folders = [
        *runs(tmp_path, "merge mixture=thirds", (64, 64), (50, 50), (57, 57), lr=1),
        *runs(tmp_path, "tune mixture=thirds", (63, 64), (51, 48), (56, 58), lr=2),
        *runs(tmp_path, "frozen mixture=thirds", (10, 90), (10, 90), (10, 90), lr=3),
    ]
    return leaderboard(folders, ["ka_change"])


def test_what_rows_share_is_said_once_above_them(board: Board) -> None:
    (table,) = tables(board)
    assert table.title.startswith("made_up stream, ") and table.title.endswith("2 updates, budget 100 MAFs (GFLOPs)")
    assert table.shared == "mixture=thirds; seeds 0, 1, 2; not budgeted"
    assert table.heads == ("rank", "method", "KA", "ZS", "GM", "ka_change", "front")
    assert [row[1] for row in table.rows] == ["merge", "tune", "frozen"]
    assert [row[-1] for row in table.rows] == ["*", "", "*"]
    half = interval([64, 50, 57]).half_width
    assert table.rows[0][2] == f"57.0 ± {half:.1f}" == "57.0 ± 17.4"
    assert table.rows[2][2:6] == ("10.0 ± 0.0", "90.0 ± 0.0", "30.0 ± 0.0", "-5.0 ± 0.0")


def test_neighbours_that_cannot_be_told_apart_are_named(board: Board) -> None:
    (table,) = tables(board)
    (line,) = table.below
    assert line.startswith("rows 1 and 2 cannot be told apart: merge and tune (GM +0.")
    assert line.endswith("3 seeds in common).")


def test_one_seed_is_ranked_and_has_visibly_no_interval(tmp_path: Path) -> None:
    folders = [*runs(tmp_path, "one", (64, 64), lr=1), *runs(tmp_path, "two", (36, 36), (36, 36), lr=2)]
    (table,) = tables(leaderboard(folders))
    assert table.heads[2] == "seeds" and [row[:4] for row in table.rows] == [
        ("1", "one", "0", "64.0 ± –"),
        ("2", "two", "0, 1", "36.0 ± 0.0"),
    ]
    assert table.below == ("rows 1–2: fewer than two seeds in common, so nothing can be told of their order.",)
    assert cell(None) == "–" and cell(Interval(1, None, 1)) == "1.0 ± –"


def test_caveats_of_some_rows_are_said_below(tmp_path: Path) -> None:
    folders = [
        *runs(tmp_path, "a", (64, 64), lr=1, marks=["not budgeted", "3 steps skipped"]),
        *runs(tmp_path, "b", (36, 36), lr=2),
    ]
    (table,) = tables(leaderboard(folders))
    assert table.shared == "seed 0; not budgeted" and table.below[-1] == "row 1: 3 steps skipped."


def test_a_label_of_shared_settings_alone_is_not_empty(tmp_path: Path) -> None:
    folders = [*runs(tmp_path, "x=1", (64, 64), lr=1), *runs(tmp_path, "x=1 y=2", (36, 36), lr=2)]
    (table,) = tables(leaderboard(folders))
    assert [row[1] for row in table.rows] == ["(no other setting)", "y=2"]


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("total_mafs 1,920", "1,920 MAFs (GFLOPs)"),
        ("total_gflops 5", "5 GFLOPs"),
        ("samples 100", "100 samples"),
        ("steps 1,360", "1,360 steps"),
        ("wall_seconds 60", "60 seconds of wall clock"),
    ],
)
def test_a_track_in_words(budget: str, words: str) -> None:
    track = f"pocket, scores 2.0, 6 updates, ordering random, setting 0123ab, datasets fedcba, {budget}"
    title, hashes = in_words(track)
    assert title == f"pocket stream, score version 2.0, 6 updates, random order, budget {words}"
    assert hashes == "setting 0123ab, datasets fedcba"


def test_markdown_is_a_table_to_a_reader_of_markdown(board: Board, tmp_path: Path) -> None:
    html = MarkdownIt("commonmark").enable("table").render(markdown(board))
    assert html.count("<table>") == 1 and html.count("<tr>") == 4 and "57.0 ± 17.4" in html
    hostile = leaderboard(runs(tmp_path / "b", HOSTILE, (36, 36)))
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown(hostile))
    assert page.count("<tr>") == 2 and page.count("<td") == len(next(tables(hostile)).heads)
    assert not re.search(r"<(script|a|em|strong|code|del)\b", page) and "&lt;script&gt;" in page
    assert page.count("<h1") == 0 and page.count("<h2") == 1


def test_latex_holds_no_sign_that_means_something(tmp_path: Path) -> None:
    hostile = latex(leaderboard([*runs(tmp_path, HOSTILE, (36, 36)), tmp_path / "a\n\\input{b}"]))
    (row,) = [line for line in hostile.splitlines() if "alert" in line and not line.startswith("%")]
    assert r"\textbackslash{}input\{g\}" in row and r"100\% \$x\$ \#1" in row and r"\textless{}script" in row
    assert len(re.findall(r"(?<!\\)&", row)) == len(row.split(" & ")) - 1 == 5
    assert not re.search(r"[<>|~\x1b\u202e]", row)
    read = "\n".join(line for line in hostile.splitlines() if not line.startswith("%"))
    commands = set(re.findall(r"\\[a-z]+", read))
    known = {"begin", "end", "toprule", "midrule", "bottomrule", "pm", "textless", "textgreater", "textbar"}
    assert commands <= {f"\\{name}" for name in known | {"textasciitilde", "textasciicircum", "textbackslash"}}
    for line in hostile.splitlines():
        assert line == "" or line.startswith(("%", "\\")) or line.endswith(r" \\"), line


@pytest.mark.parametrize("sign", [*"=+-@＝", "\t=", "\n@"])
def test_a_field_is_no_formula(sign: str) -> None:
    field = spreadsheet(f"{sign}HYPERLINK(1)")
    assert field.startswith("'") and "HYPERLINK(1)" in field
    assert (spreadsheet("a=b"), spreadsheet(-1.5), spreadsheet(None), spreadsheet(True)) == ("a=b", -1.5, None, True)


def test_csv_has_every_entry_and_all_digits(board: Board, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(board))))
    assert [row["rank"] for row in rows] == ["1", "2", "3"] and rows[0]["method"] == "merge mixture=thirds"
    assert float(rows[0]["gm"]) == board.entries[0].gm
    assert float(rows[2]["ka_change"]) == -5 and rows[2]["differs_from_next"] == ""
    assert rows[0]["differs_from_next"] == "False" and rows[1]["differs_from_next"] == "True"
    one = leaderboard(runs(tmp_path / "b", "=cmd|' /C calc'!A0", (36, 36)))
    (row,) = csv.DictReader(io.StringIO(comma_separated(one)))
    assert row["method"].startswith("'=cmd") and row["gm_half_width"] == "" and row["gm"] == "36.0"
    (row,) = csv.DictReader(io.StringIO(comma_separated(leaderboard(runs(tmp_path / "c", HOSTILE, (36, 36))))))
    assert "\n" not in row["method"] and "\x1b" not in row["method"] and "🎉" in row["method"]


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What ``fomo leaderboard`` prints."""
    assert status("leaderboard", *words) == 0
    return capsys.readouterr().out


def test_every_format_is_printed(board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "merge" in shown(capsys, str(tmp_path)) and CAPTION[:20] in shown(capsys, str(tmp_path))
    plain = leaderboard(sorted(tmp_path.iterdir()))
    assert shown(capsys, str(tmp_path), "--format", "markdown") == markdown(plain) + "\n"
    assert shown(capsys, str(tmp_path), "--format", "latex") == latex(plain) + "\n"
    assert shown(capsys, str(tmp_path), "--format", "csv") == comma_separated(plain) + "\n"
    as_json = shown(capsys, str(tmp_path), "--json")
    assert as_json == shown(capsys, str(tmp_path), "--format", "json")
    (first, *_) = json.loads(as_json)["entries"]
    assert first["on_front"] and first["against_next"]["differs"] is False
    assert (first["metrics"]["gm"]["mean"], first["metrics"]["gm"]["num"]) == (plain.entries[0].gm, 3)


def test_a_narrow_terminal_gets_every_number_whole(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fomo.cli.leaderboard.screen", lambda: __import__("rich.console").console.Console(width=80))
    text = shown(capsys, str(tmp_path), "--metrics", "all")
    assert max(map(len, text.splitlines())) <= 80
    numbers = [text for row in next(tables(leaderboard(sorted(tmp_path.iterdir()), ["transfer"]))).rows for text in row]
    assert all(number in text for number in numbers) and "backward_transfer" in text


def test_names_reach_the_screen_as_harmless_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs(tmp_path, HOSTILE, (36, 36))
    text = shown(capsys, str(tmp_path))
    assert "\x1b" not in text and "\u202e" not in text and "<script>" in "".join(text.split())
