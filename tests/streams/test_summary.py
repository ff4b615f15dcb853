"""What a stream consists of is told before its data is there."""

import json
from pathlib import Path

from fomo.stream.definition import Concept
from streams import build_stream, file_stream
from streams.summary import summary
from tests.fomo.helpers import put
from tests.streams.helpers import shards


def test_samples_are_counted_by_concept_and_domains_come_from_cards_or_the_catalogue(tmp_path: Path) -> None:
    birds = [("owl", 1), ("owl", 2), ("emu", 3)]
    shards(tmp_path, "birds", {"train": birds, "test": [("owl", 4)]}, domain="feathers")
    path = put(tmp_path / "x.json", json.dumps(["birds+++owl", "DTD+++banded", "birds+++emu", "mine+++a"]))
    shown = summary(file_stream("file", str(path), str(tmp_path)), 2, 0, "test")
    assert shown.num_samples == {Concept("birds", "owl"): 2, Concept("birds", "emu"): 1}
    assert shown.domains == {"birds": "feathers", "DTD": "textural", "mine": "unknown"}
    assert shown.absent == ("DTD", "mine") and shown.data_sha256 is None
    assert [shown.samples(task) for task in range(2)] == [None, None]


def test_a_pool_that_is_not_there_is_absent(tmp_path: Path) -> None:
    plan = build_stream("mine", ["pocket_solids"], ["pocket_counting"], 0, "given", str(tmp_path), ["gone"])
    shown = summary(plan, 2, 0, "test")
    assert shown.absent == ("gone",) and shown.data_sha256 is None
    assert [shown.samples(task) for task in range(2)] == [240, 240]
