"""A study: what it sweeps over, its table and its figure."""

import io
from pathlib import Path

import pytest
from PIL import Image

from fomo.cli import main
from fomo.config.compose import builtin_groups, compose, label, study, sweep
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.report.families import FAMILIES, family
from fomo.report.leaderboard import leaderboard
from fomo.report.study import page, write_study
from tests.fomo.helpers import error_of, evaluation, run_folder
from tests.tiny import TINY

METHODS = builtin_groups()["method"]
BASE = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60))


def test_the_study_of_methods_has_all_of_them_and_three_seeds() -> None:
    jobs = sweep(["experiment=study/methods"])
    chosen = [{part.split("=")[0]: part.split("=")[1] for part in job} for job in jobs]
    assert len(jobs) == 3 * len(METHODS) and {job["seed"] for job in chosen} == {"0", "1", "2"}
    assert {job["method"] for job in chosen} == set(METHODS)


def test_values_on_the_command_line_stand_before_those_of_the_study() -> None:
    jobs = sweep(["experiment=study/methods", "method=lora,ewc", "seed=7"])
    assert sorted(part for job in jobs for part in job if "method" in part[:6]) == ["method=ewc", "method=lora"]
    assert all("seed=7" in job for job in jobs)
    assert study(["experiment=joint"]) == "" and study([]) == ""


def test_the_name_of_a_study_makes_no_other_run() -> None:
    (job,) = sweep(["experiment=study/methods", "method=lora", "seed=0"])
    alone, within = resolve(compose(["method=lora"])), resolve(compose(job))
    assert alone.sha256 == within.sha256
    assert label(job) == "lora"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_of_the_family_that_its_preset_says(method: str) -> None:
    expected = "merging" if method == "lora_ema" or method.endswith("_merge") else "trainable"
    expected = {"finetune": "", "galore": "optimizer"}.get(method, expected)
    expected = "regularizer" if method in ("ewc", "si", "l2", "lwf", "zscl") else expected
    assert family(resolve(compose([f"method={method}"])).values) == expected
    assert expected in FAMILIES


def test_the_table_ranks_and_gives_the_spread_by_hand(tmp_path: Path) -> None:
    runs = {"b|d": ((36, 36), (49, 25)), "best": ((64, 64), (64, 64))}
    folders = [
        run_folder(tmp_path / f"{name[0]}{lr}{seed}", *BASE, evaluation(2, ka, ka, zs), seed=seed, label=name, lr=lr)
        for lr, (name, pairs) in enumerate(runs.items())
        for seed, (ka, zs) in enumerate(pairs)
    ]
    rows = [line for line in page(leaderboard(folders).entries, "x").splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| 1 | best | 6 | 64.0 ± 0.0 | 64.0 ± 0.0 | 64.0 ± 0.0 |",
        "| 2 | b\\|d | 6 | 42.5 ± 9.2 | 30.5 ± 7.8 | 35.5 ± 0.7 |",
    ]


def test_runs_of_two_tracks_and_unfinished_ones_make_no_study(tmp_path: Path) -> None:
    done = run_folder(tmp_path / "a", *BASE, evaluation(2, 40, 40, 40))
    other = run_folder(tmp_path / "b", *BASE, num_tasks=1)
    with pytest.raises(FomoError, match="one track, these are of 2"):
        write_study([done, other], tmp_path / "out")
    with pytest.raises(FomoError, match="lacks a run"):
        write_study([done, run_folder(tmp_path / "c", *BASE)], tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_a_study_runs_is_skipped_when_finished_and_shows_every_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["run", "experiment=study/methods", *TINY, "method=frozen,locked_text,ema_merge", "seed=0,1"]
    main(command)
    table = Path("runs/study/methods.md")
    text = table.read_text(encoding="utf-8")
    assert (
        all(f"| {method} batch_size=24" in text for method in ("frozen", "locked_text", "ema_merge")) and " ± " in text
    )
    with Image.open(io.BytesIO(table.with_suffix(".png").read_bytes())) as picture:
        assert picture.width > 1000
    capsys.readouterr()
    table.unlink()
    main(command)
    assert capsys.readouterr().out.count("nothing to do") == 6
    assert table.read_text(encoding="utf-8") == text


def test_an_unknown_study_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "study/methods" in error_of(capsys, "run", "experiment=study/method")
