"""The part of each split that is scored on the way."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from fomo import rng
from fomo.errors import FomoError
from fomo.evaluation.subset import rows_of, size_of
from fomo.report.run_charts import path_title
from fomo.report.tracks import track
from fomo.results.card import RunCard
from fomo.results.scores import NotFinished
from fomo.results.scores_file import read_scores
from fomo.running.run import execute
from tests import tiny

ON_SUBSET = ("evaluation.subset=protocol",)


@pytest.mark.parametrize(
    ("num_samples", "num_classes", "size"),
    [
        (250, 10, 250),  # all of a small split
        (1000, 10, 300),  # at least 300
        (10_000, 10, 1000),  # a tenth
        (10_009, 10, 1000),  # rounded down
        (5000, 1000, 2000),  # two of each class
        (1500, 1000, 1500),
    ],
)
def test_the_size_of_the_published_rule(num_samples: int, num_classes: int, size: int) -> None:
    assert size_of(num_samples, num_classes) == size


def test_as_many_of_each_class_and_the_rest_at_random() -> None:
    targets = np.repeat(np.arange(7), [1000, 500, 400, 300, 200, 90, 10])  # 2500 samples: 300, 42 of each class
    rows = rows_of(targets, 7, rng.generator("a"))
    assert len(rows) == len(set(rows.tolist())) == 300 and (np.diff(rows) > 0).all()
    counts = np.bincount(targets[rows], minlength=7)
    assert counts[6] == 10 and (counts[:6] >= 42).all(), "all of a class that has fewer"
    assert rows.tolist() == rows_of(targets, 7, rng.generator("a")).tolist()
    assert rows.tolist() != rows_of(targets, 7, rng.generator("b")).tolist()


def test_samples_without_a_class_come_in_by_chance_alone() -> None:
    targets = np.array([-1] * 700 + [0, 1, 2] * 100)  # 1000 samples of 3 classes: 300, 100 of each, no rest
    assert (targets[rows_of(targets, 3, rng.generator("a"))] >= 0).all()


@pytest.fixture(scope="module")
def small_rule() -> "pytest.MonkeyPatch":
    """The tiny experiment's splits have 40 samples: take 20 of them at least."""
    patch = pytest.MonkeyPatch()
    patch.setattr("fomo.evaluation.subset.SMALLEST", 20)
    yield patch  # type: ignore[misc]
    patch.undo()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.run(tmp_path_factory.mktemp("whole") / "run")


class Heard(tiny.Silent):
    said: ClassVar[list[tuple[int, float, float]]] = []

    def scored(self, task: int, ka: float, zs: float) -> None:
        self.said.append((task, ka, zs))


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory, small_rule: object) -> Path:
    folder = tmp_path_factory.mktemp("partly") / "run"
    execute(tiny.prepared(*ON_SUBSET), folder, Heard())
    return folder


def test_the_path_is_on_the_subset_and_the_result_on_everything(whole: Path, partly: Path) -> None:
    full, part = read_scores(whole), read_scores(partly)
    assert [each.task for each in part.evaluations] == [0, 1, 2] and [each.task for each in part.in_full] == [0, 2]
    assert part.in_full == (full.evaluations[0], full.evaluations[2]) and part.final == full.final
    shown = [*part.points[:2], part.final]  # what is said at the end is the result
    assert Heard.said == [(each.task, each.ka, each.zs) for each in shown] and part.final != part.points[2]
    assert part.evaluations[1].num_samples["pocket_counting"] == 20
    assert all(each.subset < 1 for each in part.evaluations) and all(each.subset == 1 for each in part.in_full)
    assert (path_title(part), path_title(full)) == ("per update, on a part of the test images", "per update")
    assert full.in_full == () and "in_full" not in (whole / "scores.json").read_text()


def test_the_runs_seed_does_not_change_the_subset_and_its_own_does(small_rule: object) -> None:
    def seen(*overrides: str) -> list[int]:
        prepared = tiny.prepared(*ON_SUBSET, *overrides)
        samples = prepared.resolved.config.evaluation.seen_of(prepared.stream.datasets["pocket_counting"])
        return list(map(int, samples.parts[0].rows))  # type: ignore[attr-defined]

    assert seen() == seen("seed=3") != seen("evaluation.subset_seed=1")


def test_a_result_whose_last_model_was_not_scored_in_full_is_not_finished(partly: Path, tmp_path: Path) -> None:
    content = json.loads((partly / "scores.json").read_text())
    for kept in ([], content["in_full"][:1]):
        (tmp_path / "scores.json").write_text(json.dumps({**content, "in_full": kept}))
        assert not read_scores(tmp_path).finished
        with pytest.raises(NotFinished, match="not finished"):
            read_scores(tmp_path).final  # noqa: B018


def test_the_subset_is_of_the_track(whole: Path, partly: Path) -> None:
    values = {"runtime": {}, "evaluation": {"templates": "first", "subset": "protocol", "subset_seed": 4}}
    card = RunCard.__new__(RunCard)
    object.__setattr__(card, "base_sha256", "")
    object.__setattr__(card, "stream_listing_sha256", "")
    assert track(read_scores(partly), card, values).endswith("path on subset protocol, seed 4")
    plain = {**values, "evaluation": {"templates": "first", "subset": "none", "subset_seed": 0}}
    assert track(read_scores(whole), card, plain).endswith("prompts first")


def test_an_unknown_subset_is_refused_with_the_nearest() -> None:
    with pytest.raises(FomoError, match="Did you mean 'protocol'"):
        tiny.resolved("evaluation.subset=protocoll")
