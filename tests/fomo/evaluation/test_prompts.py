"""Classes are told apart as the model reads them: by tokens, cut where it cuts."""

import logging
from pathlib import Path
from typing import Any

import pytest

from fomo.data.card import DatasetCard
from fomo.data.importing.reference import SOURCE
from fomo.errors import FomoError
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.prompts import alike_classes, with_prompt_caveats
from fomo.model.shipped import pocket
from fomo.stream.cut_texts import num_cut
from fomo.stream.definition import Stream
from streams import build_stream
from streams.opening import open_all
from streams.pocket.datasets import names, open_pocket
from streams.verify import verify
from tests import tiny
from tests.fomo.helpers import error_of, status
from tests.streams.helpers import shards

MODEL = pocket("pocket", shapes_only=True)
LONG = "a name of quite a number of words that goes on and on until one has forgotten how it was that it had begun at"
PAIRS = [
    ("Apple", "apple"),
    ("café", "cafe\u0301"),
    ("fish", "\ufb01sh"),
    ("Tom & Jerry", "Tom &amp; Jerry"),
    ("sea lion", "sea  lion"),
    ("ＡＢＣ", "abc"),
    (f"{LONG} noon", f"{LONG} midnight"),
]


def card(*classes: str, templates: tuple[str, ...] = ("a photo of a {}.",), **more: Any) -> DatasetCard:
    return DatasetCard("mine", classes, templates, {"train": 1}, **more)


@pytest.mark.parametrize("pair", PAIRS)
def test_classes_with_the_same_tokens_are_found(pair: tuple[str, str]) -> None:
    (found,) = alike_classes(card("pear", *pair), "first", MODEL.tokenize)
    assert found.classes == pair and found.dataset == "mine"
    assert found.cut_at == (32 if LONG in pair[0] else None)


def test_a_template_that_fills_the_context_makes_all_classes_one() -> None:
    template = f"{LONG}, the name of the class comes at its far end: a {{}}"
    (found,) = alike_classes(card("cat", "dog", "owl", templates=(template,)), "first", MODEL.tokenize)
    assert found.classes == ("cat", "dog", "owl") and found.cut_at == 32
    assert "'cat' and 'dog' (and 1 more) once cut at 32 tokens" in str(found)


def test_only_what_all_prompts_in_use_leave_alike_is_alike() -> None:
    first = f"{LONG} and on {{}}"
    several = card("cat", "dog", templates=(first, "a {}"))
    assert alike_classes(several, "first", MODEL.tokenize) and not alike_classes(several, "all", MODEL.tokenize)
    primed = card("crane", "crane (2)", primers={"crane": "a photo of a crane.", "crane (2)": "a photo of a crane."})
    assert len(alike_classes(primed, "first", MODEL.tokenize)) == 1
    apart = card("Apple", "apple", primers={"apple": "a photo of the fruit."})
    assert not alike_classes(apart, "first", MODEL.tokenize)


def test_the_pocket_is_told_apart_and_nothing_of_it_is_cut() -> None:
    for name in names():
        about = open_pocket(name).card
        for templates in ("first", "all"):
            assert not alike_classes(about, templates, MODEL.tokenize)
        assert not num_cut([text for each in about.templates for text in about.prompts(each)], MODEL.tokenize)


def test_a_string_that_just_fits_is_not_cut() -> None:
    words = ["a " * count for count in (1, 29, 30, 31, 80)]
    assert [num_cut([text], MODEL.tokenize) for text in words] == [0, 0, 0, 1, 1]
    assert num_cut(words * 2000, MODEL.tokenize) == 4000
    assert num_cut(["a" + " " * 5000], MODEL.tokenize) == 1


def stream(root: Path, *classes: str, **more: Any) -> Stream:
    rows = [(name, 10 + number) for number, name in enumerate(classes)]
    tests = [(name, 50 + number) for number, name in enumerate(classes)]
    shards(root, "mine", {"train": rows, "test": tests}, **more)
    shards(root, "old", {"test": [("red", 1), ("blue", 2)]})
    held_out = open_all(["old"], root)
    return Stream("made up", (), open_all(["mine"], root), held_out, None)


def test_a_run_refuses_them_with_both_names_and_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream(tmp_path, "Apple", "apple", "pear")
    lists = ("stream=images", "stream.adaptation=[mine]", "stream.retention=[old]", f"stream.root={tmp_path}")
    few = ("num_tasks=1", "budget=steps", "budget.steps=1", "batch_size=2", "mixture=update_only")
    text = error_of(capsys, "run", *lists, *few, f"run.dir={tmp_path / 'run'}")
    assert all(part in text for part in ("mine", "'Apple' and 'apple'", "rename", "primers"))
    assert not (tmp_path / "run").exists()
    assert status("stream", "verify", *lists) == 2
    shown = capsys.readouterr()
    assert "alike classes" in shown.err and "'Apple' and 'apple'" in shown.out


def test_cut_names_have_another_way_out(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"once cut at 32 tokens.*longer context"):
        with_prompt_caveats(MODEL, stream(tmp_path, *PAIRS[-1]), EvaluationConfig())


def test_the_references_own_are_marked(tmp_path: Path) -> None:
    made = stream(tmp_path, "Apple", "apple", "pear", source=SOURCE)
    assert with_prompt_caveats(MODEL, made, EvaluationConfig()).caveats == ("2 classes alike",)
    plan = build_stream("mine", ["mine"], ["old"], 0, "given", str(tmp_path), None)
    report = verify(plan, alike=lambda about: alike_classes(about, "first", MODEL.tokenize))
    assert not report.faults and len(report.findings["alike, as published"]) == 1


def test_texts_that_are_cut_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = stream(tmp_path, "cat", f"{LONG} noon")
    with caplog.at_level(logging.WARNING):
        assert with_prompt_caveats(MODEL, made, EvaluationConfig()).caveats == ("1 evaluation text cut",)
    assert "mine: 1 of 2 evaluation texts are cut at 32 tokens" in caplog.text


def test_a_run_on_the_pocket_has_no_such_caveat() -> None:
    assert tiny.prepared().caveats == ("not budgeted",)
