"""``fomo stream`` as a user types it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from fomo.cli.screen import is_wide
from fomo.cli.stream_tables import dataset_table, task_table
from streams import file_stream
from streams.stream_files import read_concepts
from streams.summary import summary
from tests.fomo.helpers import error_of, put, status
from tests.streams.helpers import shards

SMALL = ("stream.adaptation=[pocket_flags,pocket_solids]", "stream.retention=[pocket_counting]", "stream.pool_size=500")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


@pytest.mark.parametrize(
    "ordering", ["similarity", "reverse_performance", "alignment", "frequency", "dataset_incremental"]
)
def test_an_order_is_written_and_runs_as_a_stream(ordering: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path("my.json")
    assert status("stream", "build", *SMALL, f"ordering={ordering}", "--out", str(out), "--per-class", "3") == 0
    shown = capsys.readouterr().out
    assert f"ordering {ordering}, seed 0" in shown and "24 concepts of 2 datasets" in shown
    assert ("2-opt" in shown) == (ordering == "similarity")
    concepts = read_concepts(out)
    assert len(concepts) == 24
    assert status("stream", "show", str(out), "num_tasks=4", "stream.retention=[pocket_counting]", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert [task["concepts"] for task in summary["tasks"]] == [6, 6, 6, 6]
    assert summary["tasks"][0]["samples"] == 360


def test_a_built_stream_is_run_with_both_hashes_in_its_results(capsys: pytest.CaptureFixture[str]) -> None:
    status("stream", "build", *SMALL, "ordering=random", "--out", "my.json")
    settings = ("num_tasks=2", "batch_size=24", "budget=steps", "budget.steps=2", *SMALL[1:])
    assert status("run", "stream=file", "stream.path=my.json", *settings, "run.dir=out") == 0
    capsys.readouterr()
    assert status("stream", "show", "my.json", *settings, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    stream, scores, card = (json.loads(Path(f"out/{name}.json").read_text()) for name in ("stream", "scores", "card"))
    hashes = {key: summary[key] for key in ("sha256", "data_sha256")}
    assert all(len(value) == 64 for value in hashes.values())
    assert {key: stream[key] for key in hashes} == hashes == {key: scores["stream"][key] for key in hashes}
    assert {key: card[f"stream_{key}"] for key in hashes} == hashes


def test_without_a_file_the_json_alone_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("stream", "build", *SMALL, "ordering=similarity") == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 24 and "2-opt" in printed.err
    assert status("stream", "build", *SMALL, "stream.ordering=reverse_given") == 0
    backwards = json.loads(capsys.readouterr().out)
    assert status("stream", "build", *SMALL, "ordering=given") == 0
    assert json.loads(capsys.readouterr().out) == backwards[::-1]


def test_captions_and_time_groups_come_from_files(capsys: pytest.CaptureFixture[str]) -> None:
    put(Path("captions.txt"), "a cube\nthe cube\na flag of japan\n")
    assert status("stream", "build", *SMALL, "ordering=reverse_frequency", "--captions", "captions.txt") == 0
    assert json.loads(capsys.readouterr().out)[:2] == ["pocket_solids+++cube", "pocket_flags+++japan"]
    put(Path("groups.json"), '{"pocket_flags": 1, "pocket_solids": 0}')
    assert status("stream", "build", *SMALL, "ordering=time_incremental", "--time-groups", "groups.json") == 0
    datasets = [entry.split("+++")[0] for entry in json.loads(capsys.readouterr().out)]
    assert datasets == ["pocket_solids"] * 8 + ["pocket_flags"] * 16


def test_a_stream_is_shown_and_plotted_before_its_data_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    put(Path("it's odd.json"), json.dumps([f"{name}+++{n}" for n in range(6) for name in ("DTD", "QUILT", "mine")]))
    assert status("stream", "show", "it's odd.json", "num_tasks=3", "--plot", "plot.png") == 0
    shown = capsys.readouterr().out
    for text in ("18 concepts in 3 tasks", "textural", "medical", "unknown", "3 datasets are absent", "plot: plot.png"):
        assert text in shown, text
    pixels = np.asarray(Image.open("plot.png"))
    assert pixels.shape[:2] == (600, 1200) and len(np.unique(pixels.reshape(-1, 4), axis=0)) > 5
    assert not list(Path().glob(".*partial"))


def test_a_list_of_datasets_may_be_longer_than_any_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    long = f"stream.adaptation=[{' ' * 255}pocket_flags,pocket_greek]"
    assert status("stream", "show", long) == 0
    shown = capsys.readouterr().out
    assert "pocket_greek" in shown and "pocket_solids" not in shown


@pytest.mark.parametrize("width", [80, 160])
def test_numbers_are_shown_beside_long_names_however_narrow_the_screen(width: int) -> None:
    names = [" ".join(["Animalia Chordata Aves"] * 5 + [str(number)]) for number in range(1234)]
    plan = Path("long.json")
    put(plan, json.dumps([f"DTD_with_a_name_as_long_as_any+++{name}" for name in names]))
    shown = summary(file_stream("long", str(plan), "data"), 2, 0, "test")
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(task_table(shown, is_wide(console)), dataset_table(shown))
    text = console.export_text()
    for words in ("617", "1234", "1–2", "absent"):
        assert words in text.replace("│", " ").split(), words
    assert ("Animalia" in text) == is_wide(console)


def test_a_sound_stream_is_verified_and_a_leak_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    shards(Path("data"), "new", {"train": [("owl", 1), ("emu", 2)], "test": [("owl", 3)]})
    shards(Path("data"), "old", {"test": [("red", 2)]})
    values = ("stream.adaptation=[new]", "stream.pool_size=0")
    assert status("stream", "verify", *values, "stream.retention=[pocket_counting]") == 0
    assert "FAULT" not in capsys.readouterr().out
    assert "1 × exact duplicate" in error_of(capsys, "stream", "verify", *values, "stream.retention=[old]")
    assert status("stream", "verify", *values, "stream.retention=[old]", "--perceptual", "--json") == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["findings"]["exact duplicate"] == ["old test 0 is new train 1"]
    assert "not sound" in printed.err


def test_a_stream_that_cannot_be_run_is_refused_before_an_image_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOMO_CACHE", str(tmp_path / "cache"))
    put(Path("shapes.json"), '["pocket_shapes+++circle"]')
    for command in (("stream", "show", "shapes.json"), ("run", "stream=file", "stream.path=shapes.json", "run.dir=r")):
        error = error_of(capsys, *command, "num_tasks=1")
        assert "no training sample" in error and "'pocket_shapes+++circle'" in error
    assert not (tmp_path / "cache").exists() and not Path("r").exists()


BIRDS = ("stream=own", "stream._target_=tests.birds.BirdPlan", "runtime.allow_targets=[tests]", "num_tasks=2")


def test_a_stream_of_somebody_elses_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("stream", "show", *BIRDS, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [task["samples"] for task in shown["tasks"]] == [20, 20] and shown["absent"] == []
    assert len(shown["data_sha256"]) == 64
    assert status("stream", "show", *BIRDS, "+stream.absent=true") == 0
    assert "1 datasets are absent" in capsys.readouterr().out


def test_a_stream_of_somebody_elses_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("stream", "verify", *BIRDS) == 0
    assert "birds: 4 concepts" in capsys.readouterr().out
    error = error_of(capsys, "stream", "verify", *BIRDS, "+stream.leak=true")
    assert "16 × exact duplicate" in error


def test_a_stream_of_somebody_elses_is_written_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("stream", "build", *BIRDS) == 0
    assert json.loads(capsys.readouterr().out) == ["birds+++owl", "birds+++emu", "birds+++kiwi", "birds+++gull"]
    assert "key of stream 'ordering'" in error_of(capsys, "stream", "build", *BIRDS, "+stream.ordering=random")


def test_a_stream_of_somebody_elses_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("run", *BIRDS, "batch_size=24", "budget=steps", "budget.steps=2", "run.dir=out") == 0
    about = json.loads(Path("out/scores.json").read_text())["datasets"]
    assert {name: each["role"] for name, each in about.items()} == {"birds": "adaptation", "old_birds": "retention"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["build", "ordering=simlarity"], "Did you mean 'similarity'"),
        (["build", "ordering=time_incremental"], "--time-groups"),
        (["build", "ordering=frequency", "--captions", "gone.txt"], "no captions in 'gone.txt'"),
        (["build", "ordering=frequency", "stream.pool_size=0"], "--captions SOURCE"),
        (["build", "--out", "no/such/folder.json"], "folder 'no/such' is not there"),
        (["build", "--per-class", "0"], "--per-class 0"),
        (["build", "ordering=time_incremental", "--time-groups", "bad.json"], "JSON object of integers"),
        (["show", "bad.json"], "of type dict"),
        (["show", "gone.json"], "gone.json"),
        (["show", "bad.json", "gone.json"], "one stream file at a time"),
        (["show", "good.json"], "num_tasks=20: allowed are 1 to 2"),
        (["show", "stream.ordering=similarity"], "fomo stream build"),
        (["show", "--plot", "no/such/plot.png"], "folder 'no/such' is not there"),
        (["verify", "good.json"], "absent dataset"),
        (["verify", "--radius", "17"], "--radius 17"),
        (["show", "sede=3"], "Did you mean 'seed'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(Path("bad.json"), '{"a": "b"}')
    put(Path("good.json"), '["gone+++x", "gone+++y"]')
    error = error_of(capsys, "stream", *arguments)
    assert text in error and error.startswith("error: ") and error.count("\n") == 1


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--perceptive" in error_of(capsys, "stream", "verify", "--perceptive")


def test_an_ordering_that_needs_a_model_has_a_way_out_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    error = error_of(capsys, "run", "stream.ordering=similarity", "run.dir=out")
    assert "fomo stream build … ordering=similarity" in error and "stream=file" in error
    assert not Path("out").exists()
