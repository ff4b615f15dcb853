"""The hash of what scores measure: it moves with every part of it, and never without the score version."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.data.samples import Dataset
from fomo.evaluation import subset
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.measured import measured_sha256
from fomo.results.scores_file import read_scores
from fomo.stream.definition import Stream
from fomo.version import SCORE_VERSION
from tests import tiny

STORED = Path(__file__).parents[2] / "golden" / "score_version.json"
BASE = EvaluationConfig(split="test", templates="first", batch_size=64, subset="protocol", subset_seed=0)


@pytest.mark.parametrize("overrides", ["stream=pocket", "stream=pocket evaluation=validation"])
def test_what_is_measured_does_not_move_without_the_score_version(overrides: str) -> None:
    """Where it has to: raise ``SCORE_VERSION``, say in the CHANGELOG what moved and why, and store both here anew."""
    config = resolve(compose(overrides.split())).config
    stored = json.loads(STORED.read_text())
    assert stored["score_version"] == SCORE_VERSION
    assert measured_sha256(factory.stream(config), config.evaluation) == stored[overrides]


def stream() -> Stream:
    """The tiny stream."""
    return factory.stream(tiny.resolved().config)


def with_card(stream: Stream, **changes: object) -> Stream:
    """The stream with the card of a held-out dataset changed."""
    name, dataset = next(iter(stream.retention.items()))
    changed: Mapping[str, Dataset] = {name: replace(dataset, card=replace(dataset.card, **changes))}
    return replace(stream, retention={**stream.retention, **changed})


def test_it_moves_with_every_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stream()
    card = next(iter(whole.retention.values())).card
    swapped = tuple(reversed(card.classes))
    hashes = [
        measured_sha256(whole, BASE),
        *(measured_sha256(whole, replace(BASE, **{key: value})) for key, value in CHANGED.items()),
        measured_sha256(with_card(whole, classes=swapped), BASE),
        measured_sha256(with_card(whole, templates=("a drawing of {}",)), BASE),
        measured_sha256(with_card(whole, kind="retrieval"), BASE),
        measured_sha256(replace(whole, retention={}, adaptation=whole.datasets), BASE),
    ]
    monkeypatch.setattr(subset, "SMALLEST", 299)
    assert len({*hashes, measured_sha256(whole, BASE)}) == len(hashes) + 1


CHANGED = {"split": "validation", "templates": "all", "subset": "none", "subset_seed": 1}


def test_it_stays_with_what_changes_no_score() -> None:
    whole = stream()
    assert measured_sha256(replace(whole, tasks=whole.tasks[::-1]), replace(BASE, batch_size=7)) == measured_sha256(
        whole, BASE
    )


def test_it_stands_beside_the_score_version(tmp_path: Path) -> None:
    config = tiny.resolved().config
    scores = read_scores(tiny.run(tmp_path / "run"))
    assert scores.score_version == SCORE_VERSION
    assert scores.stream.measured_sha256 == measured_sha256(factory.stream(config), config.evaluation)
