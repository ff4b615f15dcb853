"""``fomo run`` as a user types it."""

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from fomo.cli import main
from fomo.cli.run import OnConsole, keep_study
from fomo.launching.launcher import Counts
from tests.tiny import TINY


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fails(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_a_run_ends_with_a_table_and_the_place_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", *TINY, "run.dir=out"])
    shown = capsys.readouterr().out
    for word in ("pocket_flags", "before", "after", "KA", "ZS", "GM", "report: out/report.html", "not budgeted"):
        assert word in " ".join(shown.split())
    assert Path("out/report.html").read_text().count("<img") > 10


def test_a_finished_folder_shows_its_table_again_without_work(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", *TINY, "run.dir=out"])
    stamp = Path("out/scores.json").stat().st_mtime_ns
    capsys.readouterr()
    main(["run", *TINY, "run.dir=out"])
    assert "nothing to do" in capsys.readouterr().out and Path("out/scores.json").stat().st_mtime_ns == stamp


def test_an_unfinished_folder_starts_again_and_gives_the_same_scores(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", *TINY, "run.dir=out"])
    whole = Path("out/scores.json").read_bytes()
    Path("out/card.json").unlink()
    content = json.loads(whole)
    content["evaluations"].pop()
    Path("out/scores.json").write_text(json.dumps(content))
    main(["run", *TINY, "run.dir=out"])
    assert "unfinished" in capsys.readouterr().out and Path("out/scores.json").read_bytes() == whole


def test_the_folder_of_another_experiment_is_refused_and_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", *TINY, "run.dir=out"])
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    assert fails("run", *TINY, "run.dir=out", "seed=1", "optimizer.lr=0.5") == 2
    error = capsys.readouterr().err
    assert "seed: 0 → 1" in error and "optimizer.lr: 0.001 → 0.5" in error
    assert before == {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}


def test_tar_files_without_a_usable_sample_are_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a.tar").write_bytes(b"\0" * 10240)
    assert fails("run", *TINY, "run.dir=out", "stream.pool=['a.tar']") == 2
    assert "no usable sample in the 1 tar files" in capsys.readouterr().err and not Path("out").exists()


def test_a_folder_of_other_things_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("x")
    assert fails("run", *TINY, "run.dir=mine") == 2
    assert "not empty" in capsys.readouterr().err and [p.name for p in Path("mine").iterdir()] == ["thesis.tex"]


def test_the_saved_configuration_replays_the_run() -> None:
    main(["run", *TINY, "run.dir=out", "method=lora_ema", "trainable.rank=2"])
    main(["run", "--config", "out/config.yaml", "run.dir=again"])
    assert Path("out/scores.json").read_bytes() == Path("again/scores.json").read_bytes()
    old, new = (yaml.safe_load(Path(f"{name}/config.yaml").read_text()) for name in ("out", "again"))
    assert old.pop("run") != new.pop("run") and old == new


def test_without_run_dir_the_folder_is_named_by_the_configuration() -> None:
    main(["run", *TINY])
    main(["run", *TINY, "runtime.num_workers=1"])
    (folder,) = Path("runs").iterdir()
    assert len(folder.name) == 12
    main(["run", *TINY, "seed=1"])
    assert len(list(Path("runs").iterdir())) == 2


def test_a_sweep_runs_every_combination_in_folders_named_by_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "-m", *TINY, "method=frozen,locked_text", "seed=0,1", "run.dir=sweep"])
    shown = capsys.readouterr().out
    assert shown.count("GM = √(KA·ZS)") == 1 and "before ┃" not in shown
    assert shown.count("│ frozen") == shown.count("│ locked_text") >= 2
    main(["run", "-m", *TINY, "method=frozen,locked_text", "seed=0,1", "run.dir=sweep", "--json"])
    again = json.loads(capsys.readouterr().out)
    assert [(run["method"].split()[0], run["seed"]) for run in again] == [
        ("frozen", 0),
        ("frozen", 1),
        ("locked_text", 0),
        ("locked_text", 1),
    ]
    names = sorted(path.name for path in Path("sweep").iterdir())
    assert names == sorted(f"method={m},seed={s}" for m in ("frozen", "locked_text") for s in (0, 1))
    capsys.readouterr()
    main(["leaderboard", "sweep", "--json"])
    board = json.loads(capsys.readouterr().out)
    assert [entry["seeds"] for entry in board["entries"]] == [[0, 1], [0, 1]] and not board["refused"]
    main(["leaderboard", "sweep"])
    shown = capsys.readouterr().out
    assert "frozen" in shown and "locked_text" in shown and "not ranked" not in shown
    main(["score", "sweep/method=frozen,seed=0", "--json"])
    (scored,) = json.loads(capsys.readouterr().out)
    assert scored["finished"] and len(scored["tasks"]) == 3


@pytest.mark.parametrize(
    ("override", "texts"),
    [
        ("method=finetun", ["finetun", "Did you mean 'finetune'", "lora"]),
        ("modle=pocket", ["modle", "Did you mean 'model'"]),
        ("optimizer.learning_rate=1", ["optimizer.learning_rate", "Did you mean"]),
        ("stream.adaptation=[pocket_flag]", ["pocket_flag", "Did you mean 'pocket_flags'"]),
        ("stream.adaptation=[pocket_flags+++germny]", ["germny", "Did you mean 'germany'"]),
        ("stream.ordering=randm", ["randm", "Did you mean 'random'"]),
        ("stream.pol_size=3", ["pol_size", "Did you mean"]),
        ("mixture.update=0.9", ["sum to 1", "0.9"]),
        ("mixture.update=-0.34", ["mixture.update=-0.34", "0 to 1"]),
        ("num_tasks=0", ["num_tasks=0"]),
        ("batch_size=many", ["batch_size", "many"]),
        ("budget.steps=1", ["budget.steps=1", "2"]),
        ("budget.total_mafs=1", ["one unit", "budget.total_mafs=1", "budget.steps=6"]),
        ("runtime.device=gpuu", ["runtime.device=gpuu"]),
        ("evaluation.split=tests", ["tests", "Did you mean 'test'"]),
        ("trainable._target_=os.system", ["os", "runtime.allow_targets=[os]"]),
        ("+colour=red", ["colour"]),
        ("optimizer.lr=0", ["optimizer.lr=0", "above 0"]),
        ("optimizer.lr=fast", ["optimizer.lr=fast", "number"]),
        ("optimizer.weight_decay=-1", ["optimizer.weight_decay=-1", "finite numbers from 0"]),
        ("optimizer.eps=-1", ["optimizer.eps=-1", "finite numbers from 0"]),
        ("schedule.warmup=long", ["schedule.warmup=long", "a number is expected"]),
        ("schedule.warmup=2", ["schedule.warmup=2", "0 to 1"]),
        ("stream.pool_size=0", ["pool_size=0"]),
        ("stream.pool=['{0..3}.tar']", ["4 of 4", "0.tar"]),
        ("stream.pool=['pipe:cat a.tar']", ["pipe:cat a.tar", "no path"]),
        ("stream.pool=[pocket_counting]", ["pocket_counting", "held out"]),
        ("stream.pool_windw=3", ["pool_windw", "Did you mean"]),
        ("buffer.policy=rign", ["rign", "Did you mean 'ring'"]),
        ("buffer.capacity=0", ["buffer.capacity=0", "null"]),
        ("captions.update=synthetic", ["synthetic", "default, primer", "captions.update"]),
    ],
)
def test_bad_input_is_one_clear_error_before_any_work(
    override: str, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails("run", *TINY, "run.dir=out", override) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ")
    assert all(text in error for text in texts), error
    assert not Path("out").exists()


def test_more_tasks_than_concepts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails("run", *TINY, "run.dir=out", "num_tasks=25", "budget.steps=50") == 2
    assert "num_tasks=25: allowed are 1 to 24" in capsys.readouterr().err and not Path("out").exists()


def test_a_sweep_with_one_bad_job_starts_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails("run", "-m", *TINY, "run.dir=out", "num_tasks=2,0") == 2
    assert "num_tasks=0" in capsys.readouterr().err and not Path("out").exists()


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails("leaderbord") == 2
    assert "Did you mean 'leaderboard'" in capsys.readouterr().err


def test_show_prints_what_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", *TINY, "--show", "method=ema_merge", "trainable=lora"])
    values = yaml.safe_load(capsys.readouterr().out)
    assert (
        values["label"] == "ema_merge batch_size=24 budget=steps budget.steps=6 trainable=lora"
        and values["trainable"]["rank"] == 4
    )
    assert not Path("runs").exists()


@pytest.mark.parametrize("terminal", [False, True])
def test_how_far_a_sweep_is_is_a_bar_or_lines(terminal: bool) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100)
    with OnConsole(console).counting() as count:
        for done, failed in ((0, 0), (0, 0), (1, 1)):
            count(Counts(200, done, failed, running=2))
    shown = screen.getvalue()
    assert "2 running, 1 done, 1 failed of 200" in shown and ("\x1b[" in shown) == terminal
    assert terminal or shown.splitlines() == [f"2 running, {each} done, {each} failed of 200" for each in (0, 1)]


@pytest.mark.parametrize("name", ["methods", "streams"])
def test_a_folder_that_shadows_ours_is_named(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    result = subprocess.run(
        [sys.executable, "-m", "fomo", "data", "list"], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 2 and f"'{name}'" in result.stderr and "shadows" in result.stderr


def test_a_study_leaves_another_one_of_its_name_and_finds_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(folders: list[Path], base: Path) -> Path:
        base.parent.mkdir(exist_ok=True)
        base.with_suffix(".md").write_text(f"{folders} {base.name}.png")
        return base.with_suffix(".md")

    monkeypatch.setattr("fomo.cli.run.write", lambda folders, base: written(folders, base))
    ours, theirs = [Path("runs/a"), Path("runs/b")], [Path("runs/a")]
    first = tmp_path / "study" / "methods"
    names = [keep_study(first, folders).name for folders in (ours, theirs, ours, theirs)]
    assert names == ["methods.md", "methods-2.md", "methods.md", "methods-2.md"]
    assert "methods-2.png" in (tmp_path / "study" / "methods-2.md").read_text()
    first.with_suffix(".json").unlink()  # of a version that kept no list
    assert keep_study(first, ours).name == "methods-3.md"
