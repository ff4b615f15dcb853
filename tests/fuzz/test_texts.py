"""Captions and names in every script, through what counts, cuts, draws and tokenizes them."""

from functools import cache
from pathlib import Path

import open_clip
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fomo.data.card import DatasetCard, is_class_name
from fomo.data.importing.captions import words
from fomo.data.importing.class_names import separated
from fomo.model.clip import tokens_of
from fomo.stream.cut_texts import LONGEST_TEXT
from fomo.stream.definition import Concept
from fomo.system.text import escape, printable
from streams.orderings.captions import count_captions
from tests.fuzz.harness import PARSER, survives
from tests.fuzz.strategies import NASTY, SCRIPTS

TEXTS = SCRIPTS | st.sampled_from([each for each in NASTY if isinstance(each, str)])


@cache
def tokenizer() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer(context_length=77)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@PARSER
@given(text=TEXTS.filter(lambda text: "\ud800" not in text))
@example("x" * 10**6)
@example("&amp;" * 10**5)
@example("\u0301" * 10**5)
@example("ﷺ" * 10**4)
def test_captions_become_tokens(root: Path, text: str) -> None:
    tokens = survives(root, lambda: tokens_of(tokenizer(), [text]))
    assert tokens is not None and tokens.shape == (1, 77) and 0 <= tokens.min() <= tokens.max() < 49_408
    assert (tokens == tokens_of(tokenizer(), [text[:LONGEST_TEXT]])).all()


@PARSER
@given(caption=TEXTS, name=TEXTS)
def test_captions_are_counted(root: Path, caption: str, name: str) -> None:
    counts = survives(root, lambda: count_captions([caption, f"a {name}!"], [name, "cat"]))
    assert counts is not None and counts.min() >= 0 and counts.max() <= 2


@PARSER
@given(name=TEXTS, template=TEXTS)
def test_names_of_classes(root: Path, name: str, template: str) -> None:
    card = survives(root, lambda: DatasetCard("mine", (name,), (f"{template}{{}}",), {}))
    concept = survives(root, lambda: Concept.parse(f"mine+++{name}"))
    if card is not None and is_class_name(name) and "{}" not in template:
        assert card.prompts(card.templates[0]) == [f"{template}{name}"]
    assert concept is None or concept.name == name
    assert isinstance(words(name) + separated(name), str)


@PARSER
@given(text=TEXTS | st.text())
def test_shown_texts_steer_no_terminal(text: str) -> None:
    shown = printable(text)
    assert not {sign for sign in shown if ord(sign) < 32 and sign not in "\n\t"} and "\x1b" not in shown
    assert printable(shown) == shown and shown.encode() == shown.encode(errors="replace")
    assert escape(text).replace("\\[", "[").count("[") == shown.count("[")


def test_what_shows_is_left_alone() -> None:
    assert printable("größe 中 \U0001f600 a\nb") == "größe 中 \U0001f600 a\nb"
    assert printable("a\x1b[2Jb\u202ec\ud800") == "a\\x1b[2Jb\\u202ec\\ud800"
