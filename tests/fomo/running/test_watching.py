"""A run that goes on can be watched: after every task its page says how far it is, and no result changes by it."""

import base64
import io
import json
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomo.data.card import DatasetCard
from fomo.data.samples import Dataset
from fomo.errors import FomoError
from fomo.report.page import write_report
from fomo.report.view import read_view
from fomo.results.card import RunCard
from fomo.results.ledger import read_ledger
from fomo.results.scores_file import read_scores
from fomo.results.stream import read_stream
from fomo.results.thumbnails import read_thumbnails
from fomo.running import ending, thumbnails
from fomo.running.thumbnails import NEW, OF_TASK, SIDE, evenly, keep_thumbnails
from fomo.stream.definition import Concept, Stream
from tests import tiny
from tests.faults.compare import differences
from tests.fomo.helpers import picture


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run, with a copy of its folder beside it as it was at each page."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    with pytest.MonkeyPatch.context() as patch:

        def copied(run: Path, card: RunCard | None = None) -> Path:
            path = write_report(run, card)
            shutil.copytree(run, run.with_name(f"at {len(list(run.parent.iterdir())) - 1}"))
            return path

        patch.setattr(ending, "write_report", copied)
        yield tiny.run(folder, *tiny.COUNTED)


def test_a_page_is_written_after_every_task_and_says_how_far_the_run_is(watched: Path) -> None:
    pages = [watched.with_name(f"at {number}") / "report.html" for number in range(3)]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    steps = read_ledger(watched).planned.steps
    for number in (0, 1):
        assert f"{number} of 2 updates scored, {number * steps // 2} of {steps} steps taken." in texts[number]
    assert "Unfinished" in texts[1] and "refresh" in texts[1] and "optimizer" in texts[1]
    assert "Unfinished" not in texts[2] and texts[2] == write_report(watched).read_text(encoding="utf-8")
    assert not watched.with_name("at 3").exists()


def test_the_ledger_on_the_way_is_that_of_the_steps_and_hooks_so_far(watched: Path) -> None:
    ledgers = [read_ledger(watched.with_name(f"at {number}")) for number in range(3)]
    charged = [ledger.tasks["1"].charged for ledger in ledgers]
    assert charged[0].steps == 0 and charged[1] == charged[2] == ledgers[2].tasks["1"].planned
    assert [ledger.charged.steps for ledger in ledgers] == [0, charged[2].steps, 2 * charged[2].steps]


def test_the_mixture_on_the_page_is_what_the_ledger_has_counted(watched: Path) -> None:
    view = read_view(watched)
    seen = [view.history.seen(task) for task in (1, 2)]
    assert {pool: seen[0][pool] + seen[1][pool] for pool in seen[0]} == read_ledger(watched).samples
    assert seen[0]["buffer"] == 0 < seen[1]["buffer"]
    assert [sum(each.values()) for each in seen] == [24 * row.steps for row in view.tasks if row.task]


def test_the_folder_has_domains_and_small_images_of_the_stream(watched: Path) -> None:
    domains = {name: about.domain for name, about in read_scores(watched).datasets.items()}
    assert domains == {"pocket_flags": "waving cloth", "pocket_solids": "rendering", "pocket_counting": "counting"}
    images = read_thumbnails(watched)
    tasks = read_stream(watched).tasks
    for number, concepts in enumerate(tasks, start=1):
        shown = [f"{each.dataset}+++{each.label}" for each in images if each.task == number]
        assert len(shown) == min(OF_TASK, len(concepts)) and set(shown) <= set(concepts)
    assert {each.dataset for each in images if each.task == 0} == {"pocket_counting"}


def test_where_no_page_can_be_written_it_is_said_and_the_result_is_the_same(
    watched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(run: Path, card: RunCard | None = None) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ending, "write_report", refuse)
    with caplog.at_level(logging.WARNING):
        other = tiny.run(tmp_path / "run", *tiny.COUNTED)
    said = [record.getMessage() for record in caplog.records if "no report" in record.getMessage()]
    assert len(said) == 3 and all("No space left" in each for each in said)
    assert differences(watched, other) == []


class Pictures:
    """A split of ``number`` pictures of three classes, of which one cannot be read."""

    def __init__(self, number: int, broken: int = -1, has_classes: bool = True) -> None:
        self.targets = np.arange(number) % 3 if has_classes else np.full(number, -1)
        self._broken = broken

    def __len__(self) -> int:
        return len(self.targets)

    def image(self, index: int) -> Image.Image:
        """A large one."""
        if index == self._broken:
            raise FomoError("broken")
        return picture(index, (300, 100))

    def captions(self, index: int, kind: str | None = None) -> tuple[str, ...]:
        """None."""
        return ()


def made_up(num_tasks: int, split: Pictures) -> Stream:
    """A stream of one dataset a task, and a held-out one of image-text pairs."""
    new = {
        f"new{number}": Dataset(DatasetCard(f"new{number}", ("a", "b", "c"), ("a {}",), {"train": 9}), lambda _: split)
        for number in range(num_tasks)
    }
    card = DatasetCard("pairs", (), (), {"test": 7}, kind="retrieval")
    old = {"pairs": Dataset(card, lambda _: Pictures(7, has_classes=False))}
    tasks = tuple(tuple(Concept(name, each) for each in "abc") for name in new)
    return Stream("made_up", tasks, new, old, None)


def test_many_tasks_have_few_images_each_and_one_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    keep_thumbnails(made_up(2, Pictures(9, broken=1)), "test", tmp_path)
    images = read_thumbnails(tmp_path)
    assert [(each.task, each.label) for each in images] == [(1, "a"), (1, "c"), (2, "a"), (2, "c"), *[(0, "")] * 3]
    content = Image.open(io.BytesIO(base64.b64decode(images[0].jpeg)))
    assert content.format == "JPEG" and content.size == (SIDE, round(SIDE / 3))
    before = (tmp_path / "thumbnails.json").read_bytes()
    keep_thumbnails(made_up(3, Pictures(9)), "test", tmp_path)  # of a run that goes on
    assert (tmp_path / "thumbnails.json").read_bytes() == before
    (tmp_path / "many").mkdir()
    keep_thumbnails(made_up(NEW + 30, Pictures(9)), "test", tmp_path / "many")
    assert len(read_thumbnails(tmp_path / "many")) == NEW + 3


def test_data_that_cannot_be_had_costs_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        keep_thumbnails(made_up(2, Pictures(9)), "validation", tmp_path)
    assert "no images of the stream" in caplog.text and "validation" in caplog.text
    assert not (tmp_path / "thumbnails.json").exists()


def test_items_are_chosen_evenly() -> None:
    assert evenly(range(10), 4) == [0, 2, 5, 7] and evenly("ab", 5) == ["a", "b"] and evenly([], 3) == []


def test_events_of_steps_name_the_rows_of_each_pool(watched: Path) -> None:
    lines = [json.loads(line) for line in (watched / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    assert steps and all(each["pretraining"] + each["update"] + each["buffer"] == each["batch_size"] for each in steps)


def test_thumbnails_that_cannot_be_read_to_an_end_hold_up_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(thumbnails, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(Pictures, "image", lambda self, row: let_go.wait())
    keep_thumbnails(made_up(2, Pictures(9)), "test", tmp_path)
    let_go.set()
    assert "no images of the stream: they are not read after 0.01 s" in caplog.text
    assert not (tmp_path / "thumbnails.json").exists()
