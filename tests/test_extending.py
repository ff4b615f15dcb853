"""The templates of docs/extending.md are the files of docs/template, and each of them runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch

from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.evaluation.template_search import Failure, Tried
from fomo.results.layout import WEIGHTS
from fomo.running.run import execute, prepare
from fomo.stream.definition import Concept
from tests import tiny
from tests.fomo.results.test_metrics import MATRIX, scored
from tests.plugin import TEMPLATE_CODE, install_template, seen

TOP = Path(__file__).parents[1]
PAGE = (TOP / "docs" / "extending.md").read_text(encoding="utf-8")
TEMPLATES = [path for path in sorted(TEMPLATE_CODE.glob("*.py")) if path.stem != "__init__"]
TARGET = "stream._target_=fomo_template.alphabet.Alphabet"


def attribute(module: str, name: str) -> object:
    """What a template's module defines under ``name``."""
    return run_path(str(TEMPLATE_CODE / f"{module}.py"))[name]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the templates, installed; the folder at hand is empty."""
    install_template(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    with seen(tmp_path / "site", monkeypatch):
        yield


def test_the_page_shows_every_template_as_it_is() -> None:
    shown = re.findall(r"`(docs/template/\S+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert sorted(path for path, _ in shown) == [str(path.relative_to(TOP)) for path in TEMPLATES]
    for path, code in shown:
        assert code == (TOP / path).read_text(encoding="utf-8"), path
    assert PAGE.count("```python") == len(shown)


def test_a_method_takes_20_lines() -> None:
    assert len([line for line in (TEMPLATE_CODE / "pull.py").read_text().splitlines() if line]) <= 20


def test_the_merging_rule_leaves_out_what_is_opposed() -> None:
    agree = attribute("agree", "agree")
    vectors = [torch.tensor([1.0, -1.0, 2.0, 0.0]), torch.tensor([3.0, 1.0, 0.0, -4.0])]
    merged = agree(iter(vectors), [0.25, 0.75], (), torch.empty(4))  # type: ignore[operator]
    assert merged.tolist() == [2.5, 0.0, 0.5, -3.0]
    merged = agree(iter(vectors), [0.25, 0.75], (), torch.empty(4), share=0.5)  # type: ignore[operator]
    assert merged.tolist() == [2.5, 0.25, 0.5, -3.0]


def test_the_ordering_takes_datasets_in_turn() -> None:
    concepts = [Concept(dataset, name) for dataset, name in ("a1", "a2", "a3", "b1", "c1", "c2")]
    ordered = attribute("interleaved", "interleaved")(concepts, 0, None)  # type: ignore[operator]
    assert [f"{each.dataset}{each.name}" for each in ordered] == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_the_metric_is_the_lowest_of_the_last_row() -> None:
    assert attribute("worst", "worst_task")(scored()) == min(MATRIX[-1])  # type: ignore[operator]


def test_the_proposer_draws_words_and_names_what_is_taken_for_another() -> None:
    propose = attribute("emoji", "emoji")
    found = propose("a {}", [Failure("cat", "dog")], {}, 2, np.random.default_rng(0))  # type: ignore[operator]
    assert len(found) == 4 and all(each.count("{}") == 1 for each in found)
    assert sum(each.endswith(" of {}, not a dog") for each in found) == 2
    tried = {found[0]: Tried(found[0], 3, None)}
    assert found[1:] == propose("a {}", [Failure("cat", "dog")], tried, 2, np.random.default_rng(0))  # type: ignore


def test_all_that_is_named_takes_part_in_one_run(installed: None, device: str, tmp_path: Path) -> None:
    run = tiny.run(
        tmp_path / "run",
        *(
            "method=pull",
            "merging=offline",
            "merging.technique=agree",
            "+merging.options.share=0.5",
            "schedule=linear",
            "meta_schedule=dynamic",
            "log=[lines,tensorboard]",
        ),
        *("stream.adaptation=[swatches,pocket_solids]", "stream.ordering=interleaved"),
        f"runtime.device={device}",
    )
    config = (run / "config.yaml").read_text()
    assert all(f"fomo_template.{target}" in config for target in ("pull.Pull", "linear.linear"))
    first, _ = json.loads((run / "stream.json").read_text())["tasks"]
    lines = [line.split(",") for line in (run / "lines.csv").read_text().splitlines()]
    assert [int(step) for step, key, _ in lines if key == "train/loss"] == [1, 2, 3, 4, 5, 6]
    assert first[0] == "swatches+++red" and first[1].startswith("pocket_solids+++")
    assert (run / WEIGHTS).is_file()


def test_the_plan_is_run(installed: None, tmp_path: Path) -> None:
    own = [item for item in tiny.TINY if not item.startswith("stream.")]
    words = [*own, "stream=own", TARGET, "+stream.learned=swatches", "+stream.kept=pocket_counting"]
    trusted = "runtime.allow_targets=[fomo_template]"
    execute(prepare(resolve(compose([*words, "mixture=update_only", trusted]))), tmp_path / "run", tiny.Silent())
    tasks = json.loads((tmp_path / "run" / "stream.json").read_text())["tasks"]
    assert tasks == [["swatches+++blue", "swatches+++green"], ["swatches+++red"]]
