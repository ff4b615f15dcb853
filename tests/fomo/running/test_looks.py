"""What a run is looked at besides its result changes nothing of it: within tasks, after some of them, later."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fomo.errors import FomoError
from fomo.report.leaderboard import leaderboard
from fomo.results.layout import KEPT, PENDING, SAMPLES, WEIGHTS
from fomo.results.measures import chosen, measured
from fomo.results.metrics import NotDefined
from fomo.results.rewriting import settle
from fomo.results.run import load
from fomo.results.samples import hits_of, read_samples
from fomo.results.scores import Scores
from fomo.results.scores_file import read_scores
from fomo.running.later import evaluate_left_out, left_out
from fomo.running.reevaluate import reevaluated
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.helpers import status
from tests.fomo.running.test_deployment import SaidEnsemble, used
from tests.fomo.running.test_resume import OFTEN, cut_run

THREE = ("num_tasks=3",)
WITHIN = ("evaluation.every_steps=1",)
SELDOM = ("evaluation.every_tasks=2", "keep_weights=all", "evaluation.keep_samples=true")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The run of three tasks with overrides, made once each."""
    return cache(lambda *overrides: tiny.run(tmp_path_factory.mktemp("made") / "run", *THREE, *overrides))


def plain(scores: Scores) -> list[dict[str, object]]:
    return [each.to_json() for each in scores.evaluations]


def test_evaluations_within_tasks_change_no_bit(made: Callable[..., Path]) -> None:
    whole, within = made(), made(*WITHIN)
    assert plain(read_scores(within)) == plain(read_scores(whole))
    assert (within / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert (within / "ledger.json").read_bytes() == (whole / "ledger.json").read_bytes()
    at = [(each.task, each.step) for each in read_scores(within).within]
    assert at == [(1, 1), (2, 1), (3, 1)], "after a step of two; the second is the end of the task"
    found = read_scores(within).within
    assert found[0].scores != found[1].scores and set(found[0].tasks) == {1, 2, 3}


def test_metrics_of_the_stability_gap_come_from_them_alone(made: Callable[..., Path]) -> None:
    metrics = chosen(["min_accuracy", "worst_case_accuracy", "stability_gap"])
    assert all(isinstance(each, float) for each in measured(read_scores(made(*WITHIN)), metrics).values())
    for each in measured(read_scores(made()), metrics).values():
        assert isinstance(each, NotDefined) and "evaluation.every_steps" in str(each)


@pytest.mark.parametrize("at", [[1], [4], [9], [3, 2, 2, 5]])
def test_a_run_that_is_cut_within_such_an_evaluation_goes_on_exactly(
    at: list[int], made: Callable[..., Path], tmp_path: Path
) -> None:
    assert cut_run(tmp_path / "run", at, *THREE, *WITHIN, OFTEN) == len(at)
    assert differences(made(*WITHIN), tmp_path / "run") == []


def test_the_step_of_which_nothing_was_kept_beside_is_kept_before_the_evaluation(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    """No checkpoint within tasks is asked for, so that a step made before it would be made again."""
    assert cut_run(tmp_path / "run", [6], *THREE, *WITHIN, "checkpoint.every_minutes=null") == 1
    assert differences(made(*WITHIN), tmp_path / "run") == []
    assert '"event": "resume", "task": 1, "steps": 1' in (tmp_path / "run" / "events.jsonl").read_text()


def test_every_second_model_is_scored_and_the_last(made: Callable[..., Path]) -> None:
    whole, seldom = read_scores(made()), read_scores(made(*SELDOM))
    assert [each.task for each in seldom.evaluations] == [0, 2, 3] and seldom.finished and seldom.every_tasks == 2
    assert plain(seldom) == [each for each in plain(whole) if each["task"] != 1]
    assert seldom.final == whole.final and (seldom.start, len(seldom.points)) == (whole.start, 3)
    assert (made() / WEIGHTS).read_bytes() == (made(*SELDOM) / WEIGHTS).read_bytes()
    found = measured(seldom, chosen(["ka", "zs_change", "last", "ka_area", "forgetting", "incremental"]))
    missing = {name for name, value in found.items() if isinstance(value, FomoError)}
    assert missing == {"ka_area", "forgetting", "incremental"}
    assert "1 updates were not evaluated (evaluation.every_tasks=2): `fomo evaluate`" in str(found["forgetting"])
    assert found["last"] == measured(whole, chosen(["last"]))["last"]


def test_commands_and_frames_read_a_path_with_gaps(made: Callable[..., Path], tmp_path: Path) -> None:
    seldom = made(*SELDOM)
    for command in (["score", "--path", "--metrics", "all"], ["report"], ["leaderboard"]):
        assert status(*command, str(seldom)) == 0
    assert status("export", str(seldom), "--out", str(tmp_path / "all.csv")) == 0
    assert [each.task for each in load(seldom).path] == [0, 2, 3]


def test_the_table_says_why_a_number_is_not_there(
    made: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("score", str(made(*SELDOM)), "--metrics", "transfer,last,forgetting") == 0
    said = "run has no transfer, forgetting: 1 updates were not evaluated (evaluation.every_tasks=2): `fomo evaluate`"
    assert said in " ".join(capsys.readouterr().out.split())
    assert status("score", str(made(*SELDOM)), "--metrics", "transfer,last", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["metrics"]["transfer"] is None and list(found["undefined"]) == ["transfer"]


def test_they_are_one_entry_of_the_board(made: Callable[..., Path], tmp_path: Path) -> None:
    runs = [shutil.copytree(made(*overrides), tmp_path / name) for name, overrides in (("a", ()), ("b", SELDOM))]
    board = leaderboard(runs)
    assert len(board.entries) == 1 and not board.refused and "with equal scores" in board.notes[0]


@pytest.mark.parametrize("number", [1, 2])
def test_an_unfinished_run_says_up_to_where_it_is_scored(
    made: Callable[..., Path], tmp_path: Path, number: int
) -> None:
    content = json.loads((made(*SELDOM) / "scores.json").read_text())
    content["evaluations"] = content["evaluations"][:number]
    (tmp_path / "scores.json").write_text(json.dumps(content))
    scores = read_scores(tmp_path)
    with pytest.raises(FomoError, match=f"not finished: scored up to update {(number - 1) * 2} of 3, every 2"):
        _ = scores.final


@pytest.mark.parametrize("tasks", [[0, 1, 3], [1, 2, 3], [0, 2, 2, 3], [2, 0, 3]])
def test_a_path_that_skips_what_is_due_is_refused(made: Callable[..., Path], tmp_path: Path, tasks: list[int]) -> None:
    content = json.loads((made() / "scores.json").read_text())
    content |= {"evaluations": [content["evaluations"][task] for task in tasks], "every_tasks": 2}
    (tmp_path / "scores.json").write_text(json.dumps(content))
    with pytest.raises(FomoError, match=r"evaluation \d is of task"):
        read_scores(tmp_path)


METHODS = [("method=lora", "trainable.rank=2"), ("method=ema_merge",), ("evaluation.subset=protocol",)]


@pytest.mark.parametrize("method", METHODS, ids="-".join)
def test_what_was_left_out_is_evaluated_later_as_the_run_would_have(
    method: tuple[str, ...], made: Callable[..., Path], tmp_path: Path
) -> None:
    run = shutil.copytree(made(*SELDOM, *method), tmp_path / "run")
    assert left_out(run) == [1] and (run / KEPT / "0001.safetensors").is_file()
    evaluate_left_out(run, tiny.resolved(*THREE, *SELDOM, *method), [1], tiny.Silent())
    whole = read_scores(made("evaluation.keep_samples=true", *method))
    assert plain(read_scores(run)) == plain(whole) and read_scores(run).has_every_task
    load(run).card.check_untouched(run)
    assert left_out(run) == []
    assert (run / SAMPLES).read_bytes() == (made("evaluation.keep_samples=true", *method) / SAMPLES).read_bytes()


def test_the_command_does_so_and_says_when_nothing_is_left(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(made(*SELDOM), tmp_path / "run")
    assert status("evaluate", str(run), "--tasks", "1", "--json") == 0
    (point,) = json.loads(capsys.readouterr().out)["evaluated"]
    assert point["task"] == 1 and point["ka"] == read_scores(made()).points[1].ka
    assert status("evaluate", str(run)) == 0
    assert "every update is evaluated" in capsys.readouterr().out


def test_weights_that_are_not_kept_are_named_before_any_work(
    made: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(made(*SELDOM), tmp_path / "run")
    (run / KEPT / "0001.safetensors").unlink()
    with pytest.raises(FomoError, match="the weights after update 1 are not kept"):
        left_out(run)
    with pytest.raises(FomoError, match="there is no update 7: the run has 3"):
        left_out(run, [7])
    (run / "scores.json").write_text((run / "scores.json").read_text().replace('"split"', '"split" '))
    with pytest.raises(FomoError, match="not the one that the run wrote"):
        left_out(run)


def test_a_process_that_ends_between_scores_and_card_leaves_one_of_both_states(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    run = shutil.copytree(made(*SELDOM), tmp_path / "run")
    before = (run / "scores.json").read_bytes()
    (run / PENDING).write_bytes(b"half")
    settle(run)
    assert (run / "scores.json").read_bytes() == before and not (run / PENDING).exists()
    (run / PENDING).write_bytes(before)
    (run / "scores.json").write_bytes(b"the older ones")
    settle(run)
    load(run).card.check_untouched(run)


def test_until_that_is_mended_readers_say_how(made: Callable[..., Path], tmp_path: Path) -> None:
    run = shutil.copytree(made(*SELDOM), tmp_path / "run")
    (run / "scores.json").rename(run / PENDING)
    (run / "scores.json").write_bytes((made() / "scores.json").read_bytes())
    with pytest.raises(FomoError, match=r"not the one that the run wrote.*`fomo evaluate` has ended while it wrote"):
        _ = load(run).scores
    assert left_out(run) == [1] and load(run).scores.finished


def test_what_another_process_is_writing_is_left_to_it(made: Callable[..., Path], tmp_path: Path) -> None:
    run = shutil.copytree(made(*SELDOM), tmp_path / "run")
    (run / PENDING).write_bytes(b"half")
    hold = "import sys, pathlib; from fomo.system.lock import locked\n"
    hold += "with locked(pathlib.Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold, str(run)], **pipes) as other:  # type: ignore[call-overload]
        other.stdout.readline()
        with pytest.raises(FomoError, match="is in use by process"):
            left_out(run)
        other.stdin.close()
    assert (run / PENDING).read_bytes() == b"half" and left_out(run) == [1]


def test_what_another_process_has_scored_meanwhile_is_not_scored_again(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    run = shutil.copytree(made(*SELDOM), tmp_path / "run")
    tasks = left_out(run)
    for _ in range(2):
        evaluate_left_out(run, tiny.resolved(*THREE, *SELDOM), tasks, tiny.Silent())
    assert [each.task for each in load(run).scores.evaluations] == [0, 1, 2, 3]


def test_weights_that_the_run_did_not_keep_are_not_scored(
    made: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = shutil.copytree(made(*SELDOM), tmp_path / "run")
    scores = (run / "scores.json").read_bytes()
    (run / KEPT / "0001.safetensors").write_bytes((run / KEPT / "0002.safetensors").read_bytes())
    resolved = tiny.resolved(*THREE, *SELDOM)
    with pytest.raises(FomoError, match=r"0001\.safetensors: not the weights that the run wrote"):
        evaluate_left_out(run, resolved, [1], tiny.Silent())
    with pytest.raises(FomoError, match=r"0001\.safetensors: not the weights that the run wrote"):
        reevaluated(run, None)
    assert (run / "scores.json").read_bytes() == scores
    card = json.loads((run / "card.json").read_text())
    del card["kept_sha256"]
    (run / "card.json").write_text(json.dumps(card))
    evaluate_left_out(run, resolved, [1], tiny.Silent())
    assert "older version: whether its kept weights are its own is not known" in caplog.text


def test_kept_samples_give_the_scores(made: Callable[..., Path]) -> None:
    run = made(*SELDOM)
    scores, samples = read_scores(run), read_samples(run)
    assert set(samples.evaluations) == {"0", "2", "3"}
    for each in scores.evaluations:
        hits = hits_of(scores, samples, each)
        assert {name: of.score for name, of in hits.items()} == each.scores
    assert load(run).card.samples_sha256 and not load(made()).card.samples_sha256


def test_with_a_subset_both_are_kept(made: Callable[..., Path]) -> None:
    run = made(*SELDOM, "evaluation.subset=protocol")
    assert set(read_samples(run).evaluations) == {"0", "0 in full", "2", "3", "3 in full"}


@pytest.mark.parametrize("at", [[3], [8, 2, 5]])
def test_a_run_that_was_cut_keeps_the_same_samples(at: list[int], made: Callable[..., Path], tmp_path: Path) -> None:
    assert cut_run(tmp_path / "run", at, *THREE, *SELDOM, OFTEN) == len(at)
    assert differences(made(*SELDOM), tmp_path / "run") == []
    for name in (SAMPLES, str(KEPT / "0001.safetensors")):
        assert (tmp_path / "run" / name).read_bytes() == (made(*SELDOM) / name).read_bytes()


def test_what_nobody_could_evaluate_later_is_not_kept() -> None:
    with pytest.raises(FomoError, match=r"keep_weights=all: regularizer deploys more than weights"):
        tiny.prepared("keep_weights=all", *used(SaidEnsemble))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("evaluation.every_tasks=0", "1 and above"),
        ("evaluation.every_steps=0", "null: never"),
        ("keep_weights=al", "Did you mean 'all'"),
    ],
)
def test_values_that_make_no_sense_are_refused(override: str, said: str) -> None:
    with pytest.raises(FomoError, match=said):
        tiny.resolved(override)


def test_within_tasks_nothing_is_scored_where_each_process_has_a_part_of_the_weights() -> None:
    with pytest.raises(FomoError, match=r"evaluation.every_steps=2 with runtime.strategy=fsdp"):
        tiny.resolved("evaluation.every_steps=2", "runtime.strategy=fsdp")
