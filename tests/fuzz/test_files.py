"""Files that are JSON: streams, dataset cards, scores, ledgers, run cards, tables, the reference's descriptions."""

import io
import json
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from fomo.cli import leaderboard as board_command
from fomo.cli import score as score_command
from fomo.cli.stream_facts import read_groups
from fomo.data.card import DatasetCard, read_card
from fomo.data.importing.reference_info import read_info
from fomo.data.sequential import list_shards
from fomo.errors import FomoError
from fomo.evaluation.templates import read_templates
from fomo.report.charts import Line, chart
from fomo.report.compute import compute_line
from fomo.report.history import curve, history
from fomo.report.leaderboard import leaderboard
from fomo.report.page import page
from fomo.report.summary import scored_runs
from fomo.report.tables import result_table
from fomo.report.trials import rows
from fomo.report.view import read_view
from fomo.results.card import read_card as read_run_card
from fomo.results.events import read_events
from fomo.results.ledger import Spent, read_ledger
from fomo.results.measures import METRICS
from fomo.results.scores_file import read_scores
from fomo.results.stages import read_stages
from fomo.results.stream import read_stream
from fomo.results.thumbnails import read_thumbnails
from fomo.results.tuning import Searched, Trial, TuningStudy, read_tuning
from fomo.stream.definition import Concept
from fomo.system.digest import file_digest
from streams.orderings.captions import occurrences
from streams.stream_files import as_text, read_concepts
from tests.fomo.helpers import evaluation, put, run_folder
from tests.fuzz.harness import HEAVY, PARSER, survives
from tests.fuzz.strategies import BOMBS, NASTY, SCRIPTS, json_bytes

WHOLE = (evaluation(0, 10, 20, 64), evaluation(1, 30.5, 20, 60), evaluation(2, 40, 32, 36))
CARD = DatasetCard(
    "mine", ("cat", "größe"), ("a {}", "{}"), {"train": 3, "test": 2}, domain="pets", primers={"cat": "a cat!"},
    caption_kinds=("default",), counts={"broken": 1}, hashes={"train-000000.tar": "0" * 64},
).to_json()  # fmt: skip
CONCEPTS = ("mine+++cat", "mine+++größe", "other+++中")
DESCRIBED = {"a/b.png": {"classname": "cat", "target": 0, "default_caption": ["x"], "primer_caption": "a cat"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def with_bombs(test: Callable[..., None]) -> Callable[..., None]:
    for bomb in BOMBS:
        test = example(data=bomb)(test)
    return test


@PARSER
@given(data=json_bytes(list(CONCEPTS)))
@with_bombs
def test_stream_files(root: Path, data: bytes) -> None:
    found = survives(root, lambda: read_concepts(put(root / "stream.json", data)))
    if found is not None:
        assert found == tuple(map(Concept.parse, json.loads(as_text(found))))


@PARSER
@given(data=json_bytes(CARD))
@with_bombs
def test_dataset_cards(root: Path, data: bytes) -> None:
    card = survives(root, lambda: read_card(put(root / "dataset.json", data)))
    if card is not None:
        assert DatasetCard.from_json(card.to_json(), "again") == card
        assert all(len(card.prompts(template)) == len(card.classes) for template in card.templates)


@pytest.fixture(scope="module")
def run(root: Path) -> Path:
    return run_folder(root / "run", *WHOLE)


def content(name: str) -> Any:
    """A good file of a run folder."""
    with tempfile.TemporaryDirectory() as place:
        return json.loads((run_folder(Path(place), *WHOLE) / name).read_text())


PROMPTS = {"schema": "fomo.prompts/1", "templates": {"mine": ["a {}", "{} größe"]}, "about": {}, "found": {}}


@PARSER
@given(data=json_bytes(PROMPTS))
@with_bombs
def test_prompt_templates(root: Path, data: bytes) -> None:
    templates = survives(root, lambda: read_templates(put(root / "prompts.json", data)))
    for of in (templates or {}).values():
        assert of and all("cat" in template.replace("{}", "cat") for template in of)


FILES = {name: content(name) for name in ("scores.json", "ledger.json", "card.json", "stream.json")}


@PARSER
@given(data=json_bytes(FILES["scores.json"]))
@with_bombs
def test_scores(root: Path, data: bytes) -> None:
    put(root / "scores.json", data)
    scores = survives(root, lambda: read_scores(root))
    if scores is not None:
        json.dumps([run.to_json() for run in scored_runs([root], METRICS)], allow_nan=False)
        assert all(0 <= value <= 100 + 1e-9 for point in scores.points for value in (point.ka, point.zs, point.gm))


@PARSER
@given(data=json_bytes(FILES["ledger.json"]))
@with_bombs
def test_ledgers(root: Path, data: bytes) -> None:
    put(root / "ledger.json", data)
    ledger = survives(root, lambda: read_ledger(root))
    assert ledger is None or compute_line(ledger)


STUDY = TuningStudy(
    Searched({"lr": "interval(0,1)"}, ("method=lora",), ("0", "1"), {"_target_": "a.b", "seed": 0}, "0" * 64),
    (Trial({"lr": 0.5}, {"0": 50.0, "1": 51.5}, ("runs/a", "runs/b"), Spent(12, 10**9, 3.5)),),
)


HEAD, TRIAL = json.loads(json.dumps([{"schema": "fomo.tuning/1", **asdict(STUDY.searched)}, STUDY.trials[0].to_json()]))


@PARSER
@given(head=json_bytes(HEAD), trial=json_bytes(TRIAL))
def test_tuning_studies(root: Path, head: bytes, trial: bytes) -> None:
    for lines in ([head, json.dumps(TRIAL).encode()], [json.dumps(HEAD).encode(), trial], [head]):
        put(root / "study.jsonl", b"\n".join(lines))
        study = survives(root, lambda: read_tuning(root / "study.jsonl"))
        if study is not None:
            assert study.cost["trials"] == len(study.trials) == len(rows(study))


@PARSER
@given(data=json_bytes(FILES["card.json"]))
@with_bombs
def test_result_cards(root: Path, data: bytes) -> None:
    put(root / "card.json", data)
    card = survives(root, lambda: read_run_card(root))
    if card is not None:
        assert card.seconds >= 0
        survives(root, lambda: read_stages(card.compute))


@PARSER
@given(data=json_bytes(FILES["stream.json"]))
@with_bombs
def test_stored_streams(root: Path, data: bytes) -> None:
    put(root / "stream.json", data)
    stream = survives(root, lambda: read_stream(root))
    assert stream is None or all("".join(task) is not None for task in stream.tasks)


@PARSER
@given(data=json_bytes({"images": [{"task": 1, "dataset": "mine", "label": "cat", "jpeg": "/9j/4AAQ"}]}))
@with_bombs
def test_thumbnails(root: Path, data: bytes) -> None:
    put(root / "thumbnails.json", data)
    images = survives(root, lambda: read_thumbnails(root))
    assert images is None or all(each.jpeg.isascii() and '"' not in each.jpeg for each in images)


@PARSER
@given(data=json_bytes({"event": "step", "task": 1, "step": 0, "loss": 1.5, "lr": 0.1, "update": 3, "time": 1.0}))
@with_bombs
def test_events(root: Path, data: bytes) -> None:
    """Two lines of the same, so that there is a time between them; whatever they hold, it can be drawn."""
    line = data.replace(b"\n", b" ")
    put(root / "events.jsonl", line + b"\n" + line + b"\n")
    course = survives(root, lambda: history(read_events(root)))
    if course is not None:
        points = curve(course.steps, [step.loss for step in course.steps], {}, 10)
        assert "nan" not in chart([Line("loss", points)], "loss", "x", "y")


@PARSER
@given(data=json_bytes({"a.tar": 3, "b.tar": 0}))
@with_bombs
def test_sizes_of_shards(root: Path, data: bytes) -> None:
    put(root / "shards" / "a.tar", b"")
    put(root / "shards" / "sizes.json", data)
    survives(root, lambda: list_shards([str(root / "shards" / "a.tar")], 5))


@PARSER
@given(data=json_bytes({"mine+++cat": 3, "größe": 4, "other+++中": 0}))
@with_bombs
def test_tables_of_counts(root: Path, data: bytes) -> None:
    concepts = list(map(Concept.parse, CONCEPTS))
    for name in ("table.json", "table.tsv"):
        counts = survives(root, lambda name=name: occurrences(concepts, put(root / name, data)))  # type: ignore[misc]
        assert counts is None or (len(counts) == len(concepts) and (counts >= 0).all())


@PARSER
@given(data=json_bytes({"mine": 3, "other": 0}))
@with_bombs
def test_time_groups(root: Path, data: bytes) -> None:
    survives(root, lambda: read_groups(put(root / "groups.json", data)))


@PARSER
@given(data=json_bytes(DESCRIBED))
@with_bombs
def test_descriptions_of_the_reference(root: Path, data: bytes) -> None:
    put(root / "info" / "X_classnames.json", json.dumps(["cat", "dog"]))
    put(root / "info" / "X_train.json", data)
    info = survives(root, lambda: read_info(root / "info", "X"))
    if info is not None:
        assert all(sample.class_name in info.classes for split in info.splits.values() for sample in split)


@PARSER
@given(data=json_bytes(["cat", "größe", "cat"]))
@with_bombs
def test_class_names_of_the_reference(root: Path, data: bytes) -> None:
    put(root / "names" / "X_train.json", json.dumps(DESCRIBED))
    put(root / "names" / "X_classnames.json", data)
    info = survives(root, lambda: read_info(root / "names", "X"))
    if info is not None:
        DatasetCard("x", info.classes, (info.template,), {}, primers=info.primers)


def without_control(console: Console) -> str:
    """What a terminal got: nothing that steers it."""
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    odd = {sign for sign in text if not (sign.isprintable() or sign in "\n\t" or unicodedata.category(sign) == "Zs")}
    assert not odd
    return text


def show_all(folder: Path) -> None:
    """Every table and page that is made of a run folder."""
    scores, console = read_scores(folder), Console(file=io.StringIO(), width=200)
    html = page([read_view(folder)])
    assert "<script" not in html and "<img" not in html
    console.print(score_command.path_table("name", scores), result_table(folder))
    score_command.show(scored_runs([folder], METRICS), [], True, console)
    without_control(console)


def rank(folder: Path) -> None:
    """The leaderboard of one folder, printed."""
    board, console = leaderboard([folder]), Console(file=io.StringIO(), width=200)
    json.dumps([entry.to_json() for entry in board.entries], allow_nan=False)
    board_command.show(board, console)
    without_control(console)
    assert len(board.entries) + len(board.refused) == 1


@HEAVY
@given(name=st.sampled_from(sorted(FILES)), draw=st.data())
def test_what_is_shown_of_a_run_folder(run: Path, name: str, draw: st.DataObject) -> None:
    """One file of it is a stranger's, and so is the card with the hashes of the others."""
    put(run / name, draw.draw(json_bytes(FILES[name])))
    if name != "card.json":
        hashes = {f"{kind}_sha256": file_digest(run / f"{kind}.json") for kind in ("scores", "ledger")}
        put(run / "card.json", json.dumps(FILES["card.json"] | hashes))
    try:
        survives(run, lambda: show_all(run))
        survives(run, lambda: rank(run))
    finally:
        run_folder(run, *WHOLE)


@HEAVY
@given(text=SCRIPTS | st.sampled_from([each for each in NASTY if isinstance(each, str)]))
@example("[/b]")
@example("\x1b]52;c;aGk=\x07")
@example("\u202egpj.exe")
@example("<script>alert(1)</script>")
@example("| a | =1+1 |\n|---|")
def test_names_in_every_script_are_shown(run: Path, text: str) -> None:
    scores = json.loads(json.dumps(FILES["scores.json"]).replace("new_a", "NAME"))
    named = replaced(scores, text) | {"marks": [text], "stream": {"name": text, "data_sha256": text}}
    try:
        run_folder(run, *WHOLE, label=text)
        put(run / "scores.json", json.dumps(named))
        put(run / "stream.json", json.dumps({"tasks": [[text], ["b"]]}))
        hashes = {f"{kind}_sha256": file_digest(run / f"{kind}.json") for kind in ("scores", "ledger")}
        put(run / "card.json", json.dumps(FILES["card.json"] | hashes))
        survives(run, lambda: show_all(run))
        survives(run, lambda: rank(run))
    finally:
        run_folder(run, *WHOLE)


def replaced(node: Any, text: str) -> Any:
    """``node`` with the key NAME replaced."""
    if isinstance(node, dict):
        return {text if key == "NAME" else key: replaced(value, text) for key, value in node.items()}
    return [replaced(each, text) for each in node] if isinstance(node, list) else node


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_bomb_is_refused_where_a_run_is_read(name: str, run: Path) -> None:
    for bomb in BOMBS:
        put(run / name, bomb)
        with pytest.raises(FomoError, match=name):
            show_all(run)
        run_folder(run, *WHOLE)
