"""Every metric by hand, against numpy, and by what holds of any run."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.results import metrics
from fomo.results.measures import METRICS
from fomo.results.metrics import NotDefined
from fomo.results.scores import Evaluation, NotFinished, ScoredDataset, ScoredStream, Scores

MATRIX = [[10.0, 20.0, 30.0], [50.0, 24.0, 36.0], [40.0, 60.0, 33.0], [45.0, 50.0, 70.0]]
WITHIN = [(1, [30.0, 20, 30]), (2, [35, 30, 33]), (2, [45, 55, 33]), (3, [20, 58, 40]), (3, [42, 40, 60])]
KA = [10.0, 20.0, 40.0, 60.0]
ZS = [90.0, 80.0, 80.0, 60.0]
BY_HAND = {
    "ka": 60,
    "zs": 60,
    "gm": 60,
    "ka_change": 50,
    "zs_change": -30,
    "gm_change": 30,  # 60 − √(10·90)
    "ka_area": (15 + 30 + 50) / 3,
    "zs_area": (85 + 80 + 70) / 3,
    "backward_transfer": ((45 - 50) + (50 - 60)) / 2,
    "forward_transfer": ((24 - 20) + (33 - 30)) / 2,
    "forgetting": ((50 - 45) + (60 - 50)) / 2,
    "transfer": (24 + (36 + 33) / 2) / 2,
    "average": (50 + 24 + 36 + 40 + 60 + 33 + 45 + 50 + 70) / 9,
    "last": (45 + 50 + 70) / 3,
    "incremental": (50 + (40 + 60) / 2 + (45 + 50 + 70) / 3) / 3,
    "min_accuracy": (20 + 40) / 2,
    "worst_case_accuracy": 70 / 3 + 2 / 3 * 30,
    "stability_gap": ((50 - 35) + ((40 + 60) / 2 - (20 + 58) / 2)) / 2,
}
OF_TASKS = [*list(BY_HAND)[8:]]
OF_SEVERAL = OF_TASKS[:4] + OF_TASKS[-3:]
FUNCTIONS = {metric.name: metric.function for metric in METRICS}


def scored(
    matrix: Sequence[Sequence[float]] = MATRIX, ka: Sequence[float] = KA, zs: Sequence[float] = ZS, num_tasks: int = 3
) -> Scores:
    """Made-up scores: one dataset of each role, the accuracy matrix, and rows within updates (else their ends)."""
    datasets = {
        "new": ScoredDataset("adaptation", "classification", "accuracy", 10, "signs, drawn"),
        "old": ScoredDataset("retention", "classification", "accuracy", 10, "drawn"),
    }
    evaluations = tuple(
        Evaluation(t, {"new": ka[t], "old": zs[t]}, {j: value for j, value in enumerate(row, start=1)}, {})
        for t, row in enumerate(matrix)
    )
    rows = WITHIN if matrix is MATRIX else [(t, row) for t, row in enumerate(matrix) if t]
    within = tuple(
        replace(Evaluation(t, {}, dict(enumerate(row, start=1)), {}), step=step)
        for step, (t, row) in enumerate(rows, 1)
    )
    about = ScoredStream("made_up")
    return Scores(Path("run"), about, "test", (), num_tasks, datasets, evaluations, within=within)


def test_every_metric_has_a_point_worked_out_by_hand() -> None:
    assert BY_HAND.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_by_hand(name: str) -> None:
    assert FUNCTIONS[name](scored()) == pytest.approx(BY_HAND[name], abs=1e-12)


def test_the_matrix_has_a_row_for_the_base_model_and_each_update() -> None:
    assert metrics.accuracy_matrix(scored()) == MATRIX
    assert metrics.seen_path(scored()) == [50, 50, 55]


MTIL = """
1.770177 74.481567 45.47 36.436170 39.648148 4.732477 35.445545 39.87 16.244208 30.257431 56.310055
0.990099 62.039171 25.90 22.978723 33.166667 2.862254 19.659406 65.80 13.082584 6.703146 23.125374
0.960096 36.175115 13.55 16.436170 23.388889 2.130428 9.172277 52.59 9.648406 3.693570 11.475334
0.690069 38.536866 21.47 16.648936 9.666667 4.342169 12.574257 47.62 12.101390 5.521701 14.403935
0.720072 43.778802 17.60 15.212766 3.370370 7.985038 10.859406 32.87 14.445353 3.656262 15.967082
2.040204 35.195853 8.88 7.819149 10.796296 1.707595 7.073267 43.44 12.373944 2.959831 10.771919
1.380138 40.725806 12.89 11.648936 15.000000 1.349813 9.184158 51.44 15.944399 2.910086 13.047676
1.440144 19.297235 2.05 8.297872 12.574074 0.992031 3.398020 10.12 3.161624 1.019774 9.043262
1.110111 40.149770 13.10 6.808511 12.518519 0.845666 7.192079 8.11 4.142818 2.362890 13.314330
1.350135 44.124424 16.20 6.808511 12.425926 0.764352 9.635644 18.97 6.650313 0.820793 15.875132
0.930093 33.928571 12.25 7.074468 13.592593 1.366076 8.249505 34.84 5.342055 1.280935 0.836743
"""
"""Accuracies after each of 11 updates, as ``mtil/results.ipynb`` of Thunderbeee/ZSCL (commit 08c6ef6) prints them."""


def test_transfer_average_and_last_are_those_that_the_authors_print() -> None:
    rows = [[float(text) for text in line.split()] for line in MTIL.strip().splitlines()]
    run = scored([[0.0] * 11, *rows], [50.0] * 12, [50.0] * 12, 11)
    found = [round(FUNCTIONS[name](run), 1) for name in ("transfer", "average", "last")]
    assert found == [26.7, 16.0, 10.9]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_an_unfinished_run_there_is_no_number(name: str) -> None:
    with pytest.raises(NotFinished, match="2 of 3 updates"):
        FUNCTIONS[name](scored(MATRIX[:3]))
    with pytest.raises(NotFinished):
        FUNCTIONS[name](scored([]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_nan_is_not_finished_wherever_it_stands(metric: object, bad: float) -> None:
    name = metric.name  # type: ignore[attr-defined]
    broken = scored([*MATRIX[:2], [40, bad, bad], [bad, bad, bad]], [*KA[:3], bad], [*ZS[:3], bad])
    with pytest.raises(NotFinished):
        metric.of(broken)  # type: ignore[attr-defined]
    with pytest.raises(NotFinished):
        FUNCTIONS[name](broken)


def test_a_score_of_a_dataset_that_is_missing_is_not_finished() -> None:
    whole = scored()
    lacking = Evaluation(3, {"new": 1.0}, whole.evaluations[3].tasks, {})
    cut = Scores(whole.folder, whole.stream, "test", (), 3, whole.datasets, (*whole.evaluations[:3], lacking))
    with pytest.raises(NotFinished, match="task 3 has no score of 'old'"):
        metrics.ka(cut)


@pytest.mark.parametrize("name", OF_TASKS)
def test_a_task_that_lacks_a_score_is_not_finished_and_one_without_samples_not_defined(name: str) -> None:
    with pytest.raises(NotFinished, match="after 3 updates task 3 has no score"):
        FUNCTIONS[name](scored([*MATRIX[:3], MATRIX[3][:2]]))
    with pytest.raises(NotDefined, match="no test sample is of the concepts of task 3"):
        FUNCTIONS[name](scored([row[:2] for row in MATRIX]))


def test_one_task_has_nothing_to_transfer_or_forget() -> None:
    one = scored([[10], [50]], KA, ZS, 1)
    for name in OF_SEVERAL:
        with pytest.raises(NotDefined, match="one task"):
            FUNCTIONS[name](one)
    assert [FUNCTIONS[name](one) for name in ("average", "last", "incremental", "ka_area")] == [50, 50, 50, 15]


def test_no_update_has_no_path() -> None:
    none = scored([[]], KA, ZS, 0)
    assert metrics.ka(none) == 10 and metrics.ka_change(none) == 0
    for name in ("ka_area", "zs_area", "average", "last", "incremental"):
        with pytest.raises(NotDefined):
            FUNCTIONS[name](none)


PERCENT = st.floats(0, 100)


@st.composite
def runs(draw: st.DrawFn, constant: bool = False) -> Scores:
    """A finished run of two to five tasks; ``constant``: no update changes anything."""
    num = draw(st.integers(2, 5))
    rows = [draw(st.lists(PERCENT, min_size=num, max_size=num)) for _ in range(1 if constant else num + 1)]
    paths = [draw(st.lists(PERCENT, min_size=len(rows), max_size=len(rows))) for _ in range(2)]
    times = num + 1 if constant else 1
    return scored(rows * times, paths[0] * times, paths[1] * times, num)


@given(runs())
def test_against_numpy(run: Scores) -> None:
    r = np.array(metrics.accuracy_matrix(run))
    ka = np.array([point.ka for point in run.points])
    after = r[1:]
    num = len(after)
    expected = {
        "backward_transfer": (after[-1] - np.diag(after))[:-1].mean(),
        "forward_transfer": (np.diag(r)[1:] - r[0, 1:]).mean(),
        "forgetting": (after[:-1, :-1].max(axis=0) - after[-1, :-1]).mean(),
        "transfer": np.mean([after[:j, j].mean() for j in range(1, num)]),
        "average": after.mean(),
        "last": after[-1].mean(),
        "incremental": (np.tril(after).sum(axis=1) / np.arange(1, num + 1)).mean(),
        "min_accuracy": np.mean([after[j:, j - 1].min() for j in range(1, num)]),
        "stability_gap": np.mean([(r[t - 1] - r[t])[: t - 1].mean() for t in range(2, num + 1)]),
        "ka_area": (ka.sum() - (ka[0] + ka[-1]) / 2) / num,
    }
    for name, value in expected.items():
        assert FUNCTIONS[name](run) == pytest.approx(value, abs=1e-9), name


@given(runs())
def test_bounds(run: Scores) -> None:
    for metric in METRICS:
        low, high = (0, 100) if metric.unit == "%" else (-100, 100)
        assert low - 1e-9 <= metric.of(run) <= high + 1e-9
    assert metrics.forgetting(run) >= -metrics.backward_transfer(run) - 1e-9  # its best is not below the diagonal


@given(runs(constant=True))
def test_a_model_that_stays_transfers_and_forgets_nothing(run: Scores) -> None:
    changes = [metric for metric in METRICS if metric.unit == "points"]
    assert len(changes) == 7
    for metric in changes:
        assert metric.of(run) == pytest.approx(0, abs=1e-9)
    assert metrics.ka_area(run) == pytest.approx(metrics.ka(run))
    assert metrics.average(run) == pytest.approx(metrics.last(run))


def test_where_nothing_was_evaluated_within_an_update_there_is_no_gap() -> None:
    for within in ((), scored().within[:3]):
        for name in OF_SEVERAL[-3:]:
            with pytest.raises(NotDefined, match=r"nothing was evaluated within update [23]: evaluation.every_steps=N"):
                FUNCTIONS[name](replace(scored(), within=within))


def test_a_domain_has_the_mean_of_its_datasets_whatever_their_role() -> None:
    assert metrics.domains(scored()) == ["drawn", "signs"]
    run = replace(scored(), evaluations=(*scored().evaluations[:3], Evaluation(3, {"new": 60.0, "old": 30.0}, {}, {})))
    assert [metrics.in_domain(run, each) for each in ("drawn", "signs")] == [45, 60]
    with pytest.raises(NotDefined, match="of the domain 'sign'; there is drawn, signs"):
        metrics.in_domain(run, "sign")


def test_with_gaps_in_the_path_what_needs_every_update_is_not_defined() -> None:
    whole = scored()
    gaps = replace(whole, every_tasks=2, evaluations=(whole.evaluations[0], *whole.evaluations[2:]))
    ends = {"ka", "zs", "gm", "ka_change", "zs_change", "gm_change", "last"}
    for name, function in FUNCTIONS.items():
        if name in ends:
            assert function(gaps) == FUNCTIONS[name](whole)
        else:
            with pytest.raises(NotDefined, match=r"1 updates were not evaluated \(evaluation.every_tasks=2\)"):
                function(gaps)


def test_what_changed_is_of_the_same_samples_where_the_path_is_on_a_subset() -> None:
    """The ends in full are KA 12 and 55, ZS 88 and 64; on the subset 10 and 60, 90 and 60."""
    on_subset = tuple(replace(each, subset=0.3) for each in scored().evaluations)
    in_full = (Evaluation(0, {"new": 12.0, "old": 88.0}, {}, {}), Evaluation(3, {"new": 55.0, "old": 64.0}, {}, {}))
    scores = replace(scored(), evaluations=on_subset, in_full=in_full)
    assert (metrics.ka(scores), metrics.zs(scores)) == (55, 64)
    assert (metrics.ka_change(scores), metrics.zs_change(scores)) == (55 - 12, 64 - 88)
    assert metrics.gm_change(scores) == pytest.approx(math.sqrt(55 * 64) - math.sqrt(12 * 88))
    assert metrics.ka_area(scores) == BY_HAND["ka_area"] and metrics.last(scores) == BY_HAND["last"]
