"""``fomo budget``: rows, JSON, refusals."""

import json

import pytest

from fomo.cli import main
from fomo.cli.budget_scale import table
from tests import tiny
from tests.fomo.helpers import error_of

KEYS = {
    "method",
    "gflops_per_step",
    "gflops_per_task_extra",
    "gflops_other",
    "peak_memory_gib",
    "memory_multiplier",
    "mafs_per_step",
    "steps_per_task",
    "total_steps",
    "total_samples",
}


def test_a_list_of_methods_gives_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    main(["budget", "--json", "model=pocket", "method=finetune,ema_merge", "budget.total_mafs=8000"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in rows] == ["finetune", "ema_merge"]
    for row in rows:
        assert row.keys() >= KEYS and set(row["steps_per_task"]) == {"6", "20", "50", "100", "200"}
        assert row["memory_multiplier"] == pytest.approx(1) and row["gflops_per_step"] == pytest.approx(13.416398848)
        assert row["steps_per_task"]["6"] == int(8000 / 6 / 13.416398848)
        assert row["total_samples"]["6"] == 6 * row["steps_per_task"]["6"] * 128
        assert row["gflops_other"] > 0 and row["gflops_per_task_extra"] == 0


def test_the_stream_of_somebody_else_is_budgeted(capsys: pytest.CaptureFixture[str]) -> None:
    """The Fisher information of `method=ewc` costs more where a task has more samples."""
    birds = ("stream=own", "stream._target_=tests.birds.BirdPlan", "runtime.allow_targets=[tests]")
    extra = []
    for size in (40, 4000):
        main(["budget", "--json", "method=ewc", "num_tasks=2", *birds, f"+stream.size={size}"])
        extra.append(json.loads(capsys.readouterr().out)[0]["gflops_per_task_extra"])
    assert 0 < extra[0] < extra[1]


def test_a_method_that_goes_through_the_new_data_says_which_it_was_planned_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fomo.planning.survey.num_cores", lambda: 1)  # no process of its own for a row
    main(["budget", "method=ewc,finetune", "num_tasks=6"])
    shown = capsys.readouterr().out
    assert "ewc: goes through the new data of each task" in shown and "those of stream=pocket" in shown
    assert "finetune: goes through" not in shown
    main(["budget", "--json", "method=ewc,finetune", "num_tasks=6"])
    ewc, finetune = json.loads(capsys.readouterr().out)
    assert ewc["assumed_stream"] == "pocket" and ewc["assumed_update_samples"] > 0
    assert f"{ewc['assumed_update_samples']:,} samples" in shown
    assert finetune["assumed_stream"] is None and finetune["assumed_update_samples"] is None


def test_the_table_shows_what_the_json_says(capsys: pytest.CaptureFixture[str]) -> None:
    main(["budget", "method=lora"])
    shown = capsys.readouterr().out
    assert "lora" in shown and "pocket, batch 128" in shown and "T = 200" in shown


def test_every_size_of_a_ladder_is_planned_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["budget", "batch_ladder.sizes=[160,480]", "diagnostics=gradient_noise", "diagnostics.rows=null"]
    arguments += ["budget=samples", "budget.samples=6000", "num_tasks=2"]
    main(arguments)
    assert "128, 160 (18 steps a task) or 480 (6 steps a task) where a test asks" in capsys.readouterr().out
    main([*arguments, "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["total_steps"]["2"] == 2 * 23
    assert {size: rung["steps_per_task"] for size, rung in row["batch_ladder"].items()} == {"160": 18, "480": 6}
    per_row = [row["gflops_per_step"] / 128, row["batch_ladder"]["160"]["gflops_per_step"] / 160]
    assert per_row[0] == pytest.approx(per_row[1], rel=0.01)


def test_a_ramp_is_planned_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["budget", "batch_ramp=[[2000,64]]", "budget=samples", "budget.samples=6000", "num_tasks=2"]
    main([*arguments, "--json"])
    row = json.loads(capsys.readouterr().out)[0]
    # 3,000 samples a task: 16 steps of 128 make 2,048, 14 of 64 make 2,944; then 46 of 64 make 2,944
    assert row["batch_size"] == 128 and row["batch_ramp"] == [[2000, 64]]
    assert row["total_steps"]["2"] == 16 + 14 + 46 and row["total_samples"]["2"] == 2 * 2944
    main(arguments)
    shown = " ".join(capsys.readouterr().out.split())
    assert "batch 128, 64 from 2,000 samples on" in shown and "GFLOPs of the first size" in shown


def test_estimates_of_this_machine_are_in_the_json_and_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["budget", "--json", "--devices", "2", "--device", "here", "--bandwidth=2", "method=offline_merge"])
    row = json.loads(capsys.readouterr().out)[0]
    found = row["estimates"]
    assert found["devices"] == 2 and found["rows_per_device"] == 64 and "mfu" not in found["assumed"]
    assert found["compute_seconds"] * found["flops_per_second"] == pytest.approx(row["gflops_per_step"] * 1e9 / 2)
    assert found["exchanged"]["ddp"]["seconds"] == pytest.approx(found["exchanged"]["ddp"]["bytes_per_step"] / 2e9)
    assert found["run_hours"] > found["evaluation_hours"] > 0 and found["study"]["runs"] == 20
    assert found["training_hours"] * 3600 == pytest.approx(row["total_steps"]["6"] * found["seconds_per_step"])
    assert found["scored"]["num_images"] > 0 and found["scored"]["absent"] == 0
    weights = found["experts_gib"] / 6  # one a task; the merge in the checkpoint is as large
    # the network and AdamW's two moments, in fp32
    num_parameters = sum(each.numel() for each in tiny.prepared().model.network.parameters())
    assert 2**30 * (found["checkpoint_gib"] - weights) == pytest.approx(12 * num_parameters, rel=0.01)
    shown = table([("offline_merge", row), ("uncounted", {"problem": "why"})])
    assert "ESTIMATES for 2 ×" in shown and "63 datasets" in shown and "measured here" in shown
    assert len([line for line in shown.splitlines() if line.startswith("offline_merge")]) == 1
    assert table([("uncounted", {"problem": "why"})]) == ""


def test_the_official_budget_is_sixty_steps_of_full_fine_tuning(capsys: pytest.CaptureFixture[str]) -> None:
    main(["budget", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["steps_per_task"]["6"] == 60


@pytest.mark.parametrize(
    "overrides",
    [["budget.total_mafs=1e-6"], ["budget=steps", "budget.steps=5"], ["budget=samples", "budget.samples=5"]],
)
def test_planning_does_not_refuse_a_budget_that_is_too_small(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["budget", "--json", *overrides])
    assert json.loads(capsys.readouterr().out)[0]["total_steps"]["20"] == 0


def test_steps_of_a_budget_in_seconds_are_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    main(["budget", "--json", "budget=wall_seconds"])
    row = json.loads(capsys.readouterr().out)[0]
    assert set(row["total_steps"].values()) == {None} and row["gflops_per_step"] > 0
    main(["budget", "budget=wall_seconds"])
    assert "–" in capsys.readouterr().out


def test_no_digit_is_cut_off_on_a_narrow_screen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    main(["budget", "budget=mafs"])
    shown = capsys.readouterr().out
    assert "…" not in shown and "1.0000" in shown and "T = 100" in shown


@pytest.mark.parametrize(
    ("overrides", "texts"),
    [
        (["method=finetun"], ["finetun", "Did you mean 'finetune'"]),
        (["method=finetune,lor"], ["lor", "Did you mean 'lora'"]),
        (["model=ViT-B-61"], ["ViT-B-61", "Did you mean"]),
        (["budget.total_mafs=-1"], ["budget.total_mafs=-1", "above 0"]),
        (["budget=mafs", "budget.steps=3"], ["one unit", "budget=steps"]),
        (["budget=maf"], ["maf", "Did you mean 'mafs'"]),
        (["batch_size=0"], ["batch_size=0"]),
        (["--devices", "8"], ["--devices", "--device NAME"]),
        (["--mfu", "0.4"], ["--mfu", "--device NAME"]),
        (["--image-kb=9"], ["--image-kb", "--device NAME"]),
        (["--devices", "0", "--device", "h100"], ["--devices=0", "whole numbers from 1"]),
        (["--devices", "-2", "--device", "h100"], ["--devices=-2", "whole numbers from 1"]),
        (["--devices", "1.5", "--device", "h100"], ["--devices=1.5", "whole numbers from 1"]),
        (["--devices", "many", "--device", "h100"], ["--devices=many", "whole numbers from 1"]),
        (["--devices", "129", "--device", "h100"], ["--devices=129", "128 rows", "batch_size"]),
        (["--devices", "65", "--device", "h100", "batch_ramp=[[2000,64]]"], ["--devices=65", "64 rows"]),
        (["--device", "h10"], ["'h10'", "Did you mean 'H100'", "MI300X", "--device here"]),
        (["--device", "b200", "runtime.precision=fp32"], ["B200", "fp32", "runtime.precision=bf16"]),
        (["--device", "h100", "--mfu", "0"], ["--mfu=0", "up to 1"]),
        (["--device", "h100", "--mfu", "1.01"], ["--mfu=1.01", "up to 1"]),
        (["--device", "h100", "--mfu", "nan"], ["--mfu=nan", "up to 1"]),
        (["--device", "here", "--mfu", "0.4"], ["--mfu=0.4", "Leave it out"]),
        (["--device", "h100", "--bandwidth", "0"], ["--bandwidth=0", "above 0"]),
        (["--device", "h100", "--bandwidth", "-1"], ["--bandwidth=-1", "above 0"]),
        (["--device", "h100", "--bandwidth", "inf"], ["--bandwidth=inf", "above 0"]),
        (["--device", "h100", "--image-kb", "0"], ["--image-kb=0", "above 0"]),
        (["model=coca_ViT-B-32"], ["coca_ViT-B-32", "CoCa"]),
        # what fomo run would refuse
        (["batch_ladder.sizes=[150]"], ["batch_ladder.sizes=[150]", "no part measures norm_test"]),
        (["schedule=power", "schedule.b=nan"], ["schedule.b=nan", "-10 to 0"]),
        (["schedule=power", "+schedule.exponent=2"], ["exponent"]),
        (["diagnostics=curvature", "diagnostics.batch_size=9000"], ["diagnostics.batch_size=9000", "task 1 has"]),
    ],
)
def test_what_cannot_be_counted_is_one_error(
    overrides: list[str], texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(capsys, "budget", *overrides)
    assert error.count("\n") == 1 and all(text in error for text in texts), error
