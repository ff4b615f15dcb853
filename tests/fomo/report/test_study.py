"""A study: what it sweeps over, its table and its figure."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fomo.cli import main
from fomo.config.compose import builtin_groups, compose, label
from fomo.config.schema import resolve
from fomo.config.sweeping import Study, study, sweep
from fomo.errors import FomoError
from fomo.report.board import cell
from fomo.report.families import FAMILIES, family
from fomo.report.leaderboard import leaderboard
from fomo.report.plane import plane
from fomo.report.study import page, write_study
from fomo.report.tuning import write_tuning
from fomo.results.statistics import sampling_error
from tests.fomo.helpers import error_of, evaluation, run_folder
from tests.tiny import TINY

METHODS = builtin_groups()["method"]
BASE = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60))


def test_the_study_of_methods_has_all_of_them_and_five_seeds() -> None:
    jobs = sweep(["experiment=study/methods"])
    chosen = [dict(part.split("=", 1) for part in job) for job in jobs]
    assert len(jobs) == 5 * len(METHODS) and {job["seed"] for job in chosen} == set("01234")
    assert {job["method"] for job in chosen} == set(METHODS)


def test_every_method_that_is_tuned_has_five_trials_of_which_one_is_chosen() -> None:
    trials: dict[str, list[frozenset[str]]] = {}
    for job in sweep(["experiment=study/tuning"]):
        parts = dict(part.split("=", 1) for part in job)
        assert parts.pop("evaluation") == "validation" and parts.pop("seed") == "0"
        method = parts.pop("method")
        trials.setdefault(method, []).append(frozenset(parts.items() - {("experiment", "study/tuning")}))
    assert set(trials) == set(METHODS) - {"frozen"}
    assert all(len(set(each)) == 5 for each in trials.values())
    for method, settings in Study.read("study/methods").settings.items():
        (setting,) = settings
        assert frozenset(tuple(part.split("=", 1)) for part in setting.split()) in trials[method]


def test_values_on_the_command_line_stand_before_those_of_the_study() -> None:
    jobs = sweep(["experiment=study/methods", "method=lora,ewc", "seed=7"])
    assert sorted(part for job in jobs for part in job if "method" in part[:6]) == ["method=ewc", "method=lora"]
    assert all("seed=7" in job for job in jobs)
    assert study(["experiment=joint"]) == "" and study([]) == ""


def test_what_is_given_stands_before_the_settings_of_a_study_and_makes_no_run_twice() -> None:
    jobs = sweep(["experiment=study/tuning", "method=ema_merge", "optimizer.lr=1"])
    assert [[part for part in job if "." in part] for job in jobs] == [
        ["optimizer.lr=1"],
        ["optimizer.lr=1", "merging.weight=0.25"],
        ["optimizer.lr=1", "merging.weight=0.75"],
    ]
    (job,) = sweep(["experiment=study/methods", "method=finetune", "seed=0", "optimizer=lamb"])
    assert not [part for part in job if part.startswith("optimizer.")]  # a rate of AdamW's
    assert compose(job)["optimizer"]["lr"] == compose(["optimizer=lamb"])["optimizer"]["lr"]
    folders = [job[-1] for job in sweep(["experiment=study/tuning", "method=lora,ewc", "run.dir=out"])]
    assert len(set(folders)) == 10 and all("optimizer.lr=" in folder for folder in folders)


@pytest.mark.parametrize("name", [name for name in builtin_groups()["experiment"] if name.startswith("study/")])
def test_every_study_can_be_composed(name: str) -> None:
    """One run of each set of keys, of which there are few."""
    jobs = sweep([f"experiment={name}"])
    by_keys = {frozenset(part.split("=")[0] for part in job): job for job in jobs}
    assert len(jobs) > 1 and by_keys
    for job in by_keys.values():
        resolve(compose(job))


def test_the_name_of_a_study_makes_no_other_run() -> None:
    (job,) = sweep(["experiment=study/methods", "method=frozen", "seed=0"])
    alone, within = resolve(compose(["method=frozen"])), resolve(compose(job))
    assert alone.sha256 == within.sha256
    assert label(job) == "frozen"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_of_the_family_that_its_preset_says(method: str) -> None:
    expected = "merging" if method == "lora_ema" or method.endswith("_merge") else "trainable"
    expected = {"finetune": "", "galore": "optimizer"}.get(method, expected)
    expected = "regularizer" if method in ("ewc", "si", "l2", "lwf", "zscl") else expected
    assert family(resolve(compose([f"method={method}"])).values) == expected
    assert expected in FAMILIES


def rows(text: str) -> list[str]:
    """The lines of tables, without heads and what aligns columns."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line for line in lines if "--" not in line and not line.startswith(("| rank", "| method |"))]


def runs_of(place: Path, name: str, lr: float, pairs: tuple[tuple[int, int], ...], **options: object) -> list[Path]:
    """A run for each pair of KA and ZS, of seeds 0, 1, …"""
    return [
        run_folder(
            place / f"{name[0]}{lr}{seed}", *BASE, evaluation(2, ka, ka, zs), seed=seed, label=name, lr=lr, **options
        )
        for seed, (ka, zs) in enumerate(pairs)
    ]


def test_the_table_ranks_and_gives_intervals_and_paired_differences_by_hand(tmp_path: Path) -> None:
    """Of two values a, b the interval is ± 12.706·|a − b|/2: 6.5 for values 1 apart, and so for their differences."""
    folders = runs_of(tmp_path, "finetune", 0.1, ((36, 36), (49, 25)))
    folders += runs_of(tmp_path, "best|a optimizer.lr=2", 0.2, ((64, 64), (64, 64)))
    folders += runs_of(tmp_path, "near", 0.3, ((37, 36), (50, 26)))
    text = page(leaderboard(folders), "x")
    assert rows(text) == [
        "| 1 | best\\|a | optimizer.lr=2 | 2 | 6 | 64.0 ± 0.0 | 64.0 ± 0.0 | 64.0 ± 0.0 |",
        "| 2 | near |  | 2 | 6 | 43.5 ± 82.6 | 31.0 ± 63.5 | 36.3 ± 2.8 |",
        "| 3 | finetune |  | 2 | 6 | 42.5 ± 82.6 | 30.5 ± 69.9 | 35.5 ± 6.4 |",
        "| best\\|a | optimizer.lr=2 | 2 | +21.5 ± 82.6 | +33.5 ± 69.9 | +28.5 ± 6.4 † |",
        "| near |  | 2 | +1.0 ± 0.0 † | +0.5 ± 6.4 | +0.8 ± 3.6 |",
    ]
    assert "Against `finetune`" in text and "![KA–ZS plane](x.png)" in text


def test_the_error_of_sampling_is_that_of_a_mean_of_shares() -> None:
    """50 % of 100 images: 5 points; of two such sets 5/√2; a set that is all right or all wrong adds none."""
    assert sampling_error([50], [100]) == pytest.approx(5)
    assert sampling_error([50, 50], [100, 100]) == pytest.approx(5 / math.sqrt(2))
    assert sampling_error([0, 100, 50], [9, 9, 100]) == pytest.approx(5 / 3)
    draws = np.random.default_rng(0).binomial([400, 900], [0.3, 0.8], (200_000, 2)) / [400, 900] * 100
    assert sampling_error([30, 80], [400, 900]) == pytest.approx(draws.mean(1).std(), rel=0.01)


def test_runs_of_two_tracks_stand_in_two_tables_and_panels(tmp_path: Path) -> None:
    folders = runs_of(tmp_path, "finetune", 0.1, ((36, 36), (49, 25)))
    short = run_folder(tmp_path / "short", *BASE, num_tasks=1, label="finetune")
    table = write_study([*folders, short], tmp_path / "out")
    text = table.read_text(encoding="utf-8")
    assert text.count("\n## ") == 2 and len(rows(text)) == 2
    with (
        Image.open(table.with_suffix(".png")) as both,
        Image.open(io.BytesIO(plane(leaderboard([short])))) as one,
    ):
        assert both.width == one.width and both.height == 2 * one.height


def test_unfinished_runs_make_no_study_and_nothing_is_written(tmp_path: Path) -> None:
    done = run_folder(tmp_path / "a", *BASE, evaluation(2, 40, 40, 40))
    with pytest.raises(FomoError, match="lacks a run"):
        write_study([done, run_folder(tmp_path / "c", *BASE)], tmp_path / "out")
    with pytest.raises(FomoError, match="scored on the test split"):
        write_tuning([done], tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_of_the_trials_of_a_method_the_best_is_chosen(tmp_path: Path) -> None:
    trials = {"lora optimizer.lr=1": 40, "lora optimizer.lr=2": 50, "ewc optimizer.lr=3 ewc.strength=1": 30}
    folders = [
        run_folder(tmp_path / str(ka), *BASE, evaluation(2, ka, ka, ka), label=name, lr=ka, split="validation")
        for name, ka in trials.items()
    ]
    text = write_tuning(folders, tmp_path / "out").read_text(encoding="utf-8")
    assert rows(text) == [
        "| ewc | optimizer.lr=3 ewc.strength=1 | 30.0 | 30.0 | 30.0 | ✓ |",
        "| lora | optimizer.lr=2 | 50.0 | 50.0 | 50.0 | ✓ |",
        "| lora | optimizer.lr=1 | 40.0 | 40.0 | 40.0 |  |",
    ]
    assert "settings:\n  ewc: [optimizer.lr=3 ewc.strength=1]\n  lora: [optimizer.lr=2]\n" in text
    with pytest.raises(FomoError, match="scored on the validation split"):
        write_study(folders, tmp_path / "study")


def test_a_study_runs_is_skipped_when_finished_and_shows_every_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["run", "experiment=study/methods", *TINY, "method=frozen,finetune", "seed=0,1"]
    main(command)
    table = Path("runs/study/methods.md")
    text = table.read_text(encoding="utf-8")
    (setting,) = Study.read("study/methods").settings["finetune"]
    assert " ± " in text and "| frozen |  | 2 |" in text and f"| finetune | {setting} | 2 |" in text
    assert "All with batch_size=24" in text
    with Image.open(io.BytesIO(table.with_suffix(".png").read_bytes())) as picture:
        assert picture.width > 1000
    capsys.readouterr()
    table.unlink()
    main(command)
    assert capsys.readouterr().out.count("nothing to do") == 4
    assert table.read_text(encoding="utf-8") == text


def test_an_unknown_study_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "study/methods" in error_of(capsys, "run", "experiment=study/method")


def test_the_published_study_is_what_the_published_results_give_for_ever() -> None:
    """What is computed from a frozen set of results does not move; where it has to, the score version says so."""
    top = Path(__file__).parents[3]
    board = leaderboard(sorted((top / "results").glob("pocket-*.fomo.zip")))
    assert not board.refused and {run.scores.score_version for run in board.runs.values()} == {"2.1"}
    assert page(board, "methods") == (top / "docs" / "study" / "methods.md").read_text(encoding="utf-8")
    by_method = {entry.label.split()[0]: entry for entry in board.entries}
    assert by_method["ema_merge"].gm == pytest.approx(56.014716507169034, abs=1e-9)
    told = (top / "docs" / "results.md").read_text(encoding="utf-8")
    for method, entry in by_method.items():
        if method != "frozen":
            cells = [cell(entry.metrics[metric]) for metric in ("ka", "zs", "gm")]
            assert f"| {' | '.join(cells)} |" in told, method


def test_the_settings_of_the_studies_are_those_that_the_published_trials_chose() -> None:
    text = (Path(__file__).parents[3] / "docs" / "study" / "tuning.md").read_text(encoding="utf-8")
    chosen = yaml.safe_load(text.split("```yaml")[1].split("```")[0])["settings"]
    assert chosen == Study.read("study/methods").settings
    best: dict[str, float] = {}
    for row in rows(text):
        method, _, _, _, gm, _ = (each.strip().replace("\\", "") for each in row.strip("|").split("|"))
        best[method] = max(best.get(method, 0), float(gm))
    assert all(f"| {best[method]:.1f} | ✓ |" in text for method in chosen)
