"""A run folder in Python: typed, as frames, and honest about what is not there."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import fomo
from fomo.errors import FomoError
from fomo.results.layout import CARD, EVENTS, WEIGHTS
from fomo.results.scores import NotFinished
from fomo.running.contents import check_unchanged
from tests import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fomo.Run:
    return fomo.load(tiny.run(tmp_path_factory.mktemp("loaded") / "run", "seed=3"))


def test_everything_in_the_folder_is_there(run: fomo.Run) -> None:
    content = json.loads((run.folder / "scores.json").read_text())
    assert run.finished and run.weights == run.folder / WEIGHTS and run.weights.is_file()
    assert run.config["seed"] == 3 and run.label.startswith("finetune")
    assert [len(task) for task in run.stream.tasks] == [len(run.stream.tasks[0])] * 2
    assert [dict(each.scores) for each in run.scores.evaluations] == [each["scores"] for each in content["evaluations"]]
    assert run.path[-1] == run.final and run.ledger.charged.steps == 6 and run.card.label == run.label


def test_frames_hold_the_same_numbers(run: fomo.Run) -> None:
    scores = run.score_frame()
    assert set(scores["label"]) == {run.label} and set(scores["seed"]) == {3} and len(scores) == 3 * 3
    last = scores[(scores.task == 2) & (scores.dataset == "pocket_flags")]
    assert last.score.tolist() == [run.scores.evaluations[-1].scores["pocket_flags"]]
    assert last.role.tolist() == ["adaptation"] and last.metric.tolist() == ["accuracy"]
    assert run.path_frame().gm.tolist() == [point.gm for point in run.path]
    tasks = run.task_frame()
    assert {(e.task, n): s for e in run.scores.evaluations for n, s in e.tasks.items()} == {
        (row.task, row.of_task): row.score for row in tasks.itertuples()
    }
    steps = run.step_frame()
    assert steps.task.tolist() == [1, 1, 1, 2, 2, 2] and steps.step.tolist() == [0, 1, 2, 0, 1, 2]
    assert (steps.loss > 0).all() and (steps.batch_size == 24).all() and "event" not in steps
    spent = run.ledger_frame()
    assert spent.task.tolist() == [1, 2] and spent.charged_steps.sum() == spent.planned_steps.sum() == 6


def test_without_pandas_the_error_names_the_extra(run: fomo.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert run.final.gm > 0
    with pytest.raises(FomoError, match=r"pip install 'fomo-bench\[frames\]'"):
        run.score_frame()


def test_a_run_that_goes_on_shows_what_is_written(run: fomo.Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "on"))
    (folder / CARD).unlink()
    shutil.rmtree(folder / WEIGHTS.parent)
    with (folder / EVENTS).open("a") as events:
        events.write('{"event": "st')
    going = fomo.load(str(folder))
    assert not going.finished and len(going.step_frame()) == 6
    for ask in (lambda: going.card, lambda: going.weights):
        with pytest.raises(NotFinished, match="not finished: it holds no"):
            ask()


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"a": NaN}'])
def test_damaged_events_are_named_by_their_line(line: str, run: fomo.Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "damaged"))
    with (folder / EVENTS).open("a") as events:
        events.write(f"{line}\n")
    with pytest.raises(FomoError, match=r"events.jsonl, line 10: "):
        fomo.load(folder).step_frame()


def test_scores_and_ledger_of_another_run_are_refused(run: fomo.Run, tmp_path: Path) -> None:
    for name, ask in (("scores.json", "score_frame"), ("ledger.json", "ledger_frame")):
        folder = Path(shutil.copytree(run.folder, tmp_path / ask))
        (folder / name).write_text((folder / name).read_text() + "\n")
        with pytest.raises(FomoError, match=f"{name} is not the one that the run wrote"):
            getattr(fomo.load(folder), ask)()


def test_a_finished_run_is_not_found_again_where_its_scores_are_others(run: fomo.Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / "run"))
    (folder / "scores.json").write_text((folder / "scores.json").read_text() + "\n")
    with pytest.raises(FomoError, match=r"scores\.json is not the one that the run wrote"):
        check_unchanged(folder, tiny.resolved("seed=3"))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="no such folder"):
        fomo.load(tmp_path / "gone")
    with pytest.raises(FomoError, match=r"config\.yaml"):
        fomo.load(tmp_path)


def test_the_page_names_everything_of_a_run() -> None:
    page = (Path(__file__).parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    public = [name for name in {**vars(fomo.Run), **fomo.Run.__annotations__} if not name.startswith("_")]
    assert len(public) > 10 and [name for name in public if not re.search(rf"`{name}[`(]", page)] == []
