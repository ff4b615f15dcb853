"""The registry: what each metric is, and those of guests, which may fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fomo.errors import FomoError
from fomo.results.measures import METRICS, GuestFailed, chosen, measured, numbers, registry
from fomo.results.metrics import NotDefined
from fomo.results.scores import NotFinished
from tests.fomo.helpers import evaluation, run_folder, status
from tests.fomo.results.test_metrics import MATRIX, scored
from tests.plugin import install, seen

GUEST = '''
from fomo.results.measures import Metric

def worst_task(scores):
    """The worst accuracy of a task at the end.

    More words.
    """
    return min(scores.evaluations[-1].tasks.values())

def raising(scores):
    return 1 / 0

def text(scores):
    return "50"

def nothing(scores):
    pass

def nan(scores):
    return float("nan")

row = Metric("other name", worst_task, "%", True, "told by a row")
number = 3
'''


def test_every_metric_of_ours_says_what_it_is() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name == metric.function.__name__
        assert metric.unit in ("%", "points") and metric.more_is_better is not None and metric.about
        assert metric.function.__doc__ and (metric.unit == "points") == ("in points" in metric.function.__doc__)


@pytest.fixture
def guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an installed package with metrics."""
    names = ("worst_task", "raising", "text", "nothing", "nan", "row", "number", "gone")
    install(tmp_path, "guest_metrics", GUEST, {f"metrics.{name}": name for name in names})
    with seen(tmp_path, monkeypatch):
        yield "guest_metrics"


def test_a_guests_function_stands_beside_ours(guests: str) -> None:
    assert list(registry())[: len(METRICS)] == [metric.name for metric in METRICS]
    ours, theirs, row = chosen(["ka", "worst_task", "row"])
    assert (ours.guest, theirs.guest) == ("", f"{guests} 1.2")
    assert (theirs.about, theirs.unit, theirs.more_is_better) == ("The worst accuracy of a task at the end.", "", None)
    assert (row.name, row.unit, row.more_is_better, row.about) == ("row", "%", True, "told by a row")
    assert numbers(measured(scored(), [ours, theirs, row])) == {"ka": 60, "worst_task": 45, "row": 45}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raising", "ZeroDivisionError: division by zero"),
        ("text", "returned '50', no finite number"),
        ("nothing", "returned None, no finite number"),
        ("nan", "returned nan, no finite number"),
    ],
)
def test_a_guest_that_fails_is_named_and_the_others_are_there(name: str, said: str, guests: str) -> None:
    (metric,) = chosen([name])
    with pytest.raises(GuestFailed, match=rf"metric '{name}' of {guests} 1\.2") as caught:
        metric.of(scored())
    assert said in str(caught.value)
    found = measured(scored(), chosen(["gm", name]))
    assert found["gm"] == 60 and isinstance(found[name], GuestFailed)
    assert numbers(found) == {"gm": 60, name: None}


@pytest.mark.parametrize(("name", "said"), [("number", "of type int, not a function"), ("gone", "cannot be imported")])
def test_a_guest_that_is_no_function_is_named(name: str, said: str, guests: str) -> None:
    with pytest.raises(GuestFailed, match=rf"metric '{name}' of {guests} 1\.2: .*{said}"):
        chosen([name])


def test_an_unfinished_run_is_not_finished_for_a_guest_too(guests: str) -> None:
    found = measured(scored(MATRIX[:2]), chosen(["worst_task", "raising"]))
    assert all(isinstance(each, NotFinished) for each in found.values())


def test_what_is_not_defined_is_no_number() -> None:
    found = measured(scored([[10], [50]], num_tasks=1), METRICS)
    assert isinstance(found["forgetting"], NotDefined) and found["last"] == 50


def test_names_that_are_taken_and_unknown_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FomoError, match="Did you mean 'forgetting'"):
        chosen(["forgeting"])
    install(tmp_path / "a", "guest_taking", GUEST, {"metrics.zs": "worst_task"})
    with seen(tmp_path / "a", monkeypatch), pytest.raises(FomoError, match=r"'zs' of guest_taking 1.2: .* built in"):
        registry()
    for package in ("guest_one", "guest_two"):
        install(tmp_path / "b", package, GUEST, {"metrics.same": "worst_task"})
    monkeypatch.undo()
    with (
        seen(tmp_path / "b", monkeypatch),
        pytest.raises(FomoError, match=r"'same' of guest_two .* guest_one 1\.2 too"),
    ):
        registry()


def test_all_metrics_are_those_that_can_be_had_and_the_others_are_named(
    guests: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    steps = (evaluation(0, 10, 20, 64), evaluation(1, 30, 20, 60), evaluation(2, 40, 40, 40))
    run_folder(tmp_path / "run", *steps)
    for command in ("score", "leaderboard"):
        caplog.clear()
        assert status(command, str(tmp_path / "run"), "--metrics", "all", "--json") == 0
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 2 and all("It is left out." in each for each in said)
        assert f"metric 'number' of {guests} 1.2" in said[1] and f"metric 'gone' of {guests} 1.2" in said[0]
        shown = capsys.readouterr().out
        assert "worst_task" in shown and "metric 'raising' of" in shown and '"gone"' not in shown
    assert status("score", str(tmp_path / "run"), "--metrics", "gone") == 2
