"""A model on datasets without a run: what a run's base model has there, and beside published scores."""

import json
from pathlib import Path

import pytest

from fomo.errors import FomoError
from fomo.results.published import compared, read_published
from fomo.running.zero_shot import opened, zero_shot
from tests import tiny
from tests.fomo.evaluation.test_retrieval import shades
from tests.fomo.helpers import error_of, put, status

REFERENCE = Path(__file__).parents[3].parent / "shared" / "fomo_in_flux" / "zero_shot_vit_b32.tsv"
SMALL = ("stream.test_images=40", "runtime.device=cpu")


def content(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert status("zeroshot", *SMALL, "--json", *arguments) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_it_scores_what_a_run_begins_with(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from fomo.evaluation.zero_shot import evaluate

    prepared = tiny.prepared()
    config = prepared.resolved.config
    base = evaluate(prepared.model, prepared.stream, 0, config.evaluation, config.runtime)
    published = put(tmp_path / "published.tsv", "dataset\tscore\npocket_counting\t50.5\nELSEWHERE\t3\n")
    found = content(capsys, f"datasets={','.join(base.scores)}", "--compare", str(published))
    rows = {row["dataset"]: row for row in found["datasets"]}  # type: ignore[attr-defined]
    assert {name: row["score"] for name, row in rows.items()} == pytest.approx(dict(base.scores))
    assert {row["num_samples"] for row in rows.values()} == {40}, "in full, whatever a run's path is on"
    assert found["mean"] == pytest.approx(sum(base.scores.values()) / 3)
    beside = found["compared"]
    assert beside["differences"] == {"pocket_counting": pytest.approx(base.scores["pocket_counting"] - 50.5)}  # type: ignore[index]
    assert beside["not_scored"] == ["ELSEWHERE"] and len(beside["not_published"]) == 2  # type: ignore[index]


def test_a_folder_of_prepared_data_needs_no_stream(tmp_path: Path) -> None:
    shades(tmp_path, classes=False)
    config = tiny.resolved("evaluation.templates=all").config
    (found,) = zero_shot(config, opened(config, [str(tmp_path / "out" / "FLAGS")]))
    assert (found.dataset, found.metric, found.num_samples) == ("FLAGS", "recall@5", 12)
    assert found.recalls["text_to_image@10"] >= found.recalls["text_to_image@5"] >= found.recalls["text_to_image@1"]


def test_the_table_has_the_published_score_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = put(tmp_path / "published.tsv", "score\tdataset\n50\tpocket_flags\n")
    arguments = ("datasets=pocket_flags,pocket_counting", "split=validation", "templates=all", "--compare", str(file))
    assert status("zeroshot", *SMALL, *arguments) == 0
    shown = capsys.readouterr().out
    assert "50.0" in shown and "validation split, templates=all" in shown and "1 compared" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["datasets=pocket_flag"], "Did you mean 'pocket_flags'"),
        (["datasets=pocket_flag"], "A folder of prepared data"),
        (["datasets="], "with commas between"),
        (["templates=al"], "Did you mean 'all'"),
        (["split=tset"], "Did you mean 'test'"),
        (["model=pocke"], "Did you mean 'pocket'"),
        (["--compare", "nowhere.tsv"], "nowhere.tsv"),
    ],
)
def test_errors_say_the_nearest(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in error_of(capsys, "zeroshot", *arguments)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset,score\na,3\n", "no column 'dataset'"),
        ("dataset\tscore\na\t3\na\t4\n", "line 3: 'a' stands twice"),
        ("dataset\tscore\n\t3\n", "names no dataset"),
        *((f"dataset\tscore\na\t{score}\n", "no percentage") for score in ("x", "101", "-1", "nan", "")),
        ("dataset\tscore\na\n", "no percentage"),
        ("", "no column"),
    ],
)
def test_a_file_of_scores_that_is_none_is_named(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=said):
        read_published(put(tmp_path / "published.tsv", text))


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the public reference's files are not here")
def test_the_published_scores_of_63_datasets_are_read() -> None:
    published = read_published(REFERENCE)
    assert len(published) == 63
    same = compared(published, published)
    assert same.mean_distance == 0 and len(same.differences) == 63 and not same.not_scored
    assert compared({"elsewhere": 1.0}, published).mean_distance is None
