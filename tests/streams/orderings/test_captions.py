"""Counting concepts in captions: the rule, every source, and a slow count as an oracle."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.errors import FomoError
from fomo.stream.definition import Concept
from streams.orderings.captions import count_captions, occurrences, words
from tests.fomo.helpers import put
from tests.fomo.tars import tar
from tests.streams.helpers import shards

LINES = ["A Great-White SHARK!", "two sharks", "white shark, white shark", "the shark"]
NAMES = ["great white shark", "white shark", "shark", "sharks", "SHARK", "ark", "★"]
COUNTS = [1, 2, 3, 1, 3, 0, 0]
CONCEPTS = [Concept("fish", name) for name in NAMES]


def test_whole_words_in_a_row_count_once_per_caption() -> None:
    assert count_captions(LINES, NAMES).tolist() == COUNTS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Levi&#39;s  Café", ["levi", "s", "café"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("snake_case, F-16A/B", ["snake", "case", "f", "16a", "b"]),
        ("ﬁne ｆｕｌｌ", ["fine", "full"]),
        ("日本 — 🐕 !", ["日", "本"]),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_and_digits_case_folded(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.lists(st.text("ab ", max_size=12)), st.lists(st.text("ab ", max_size=6), min_size=1))
def test_counts_are_those_of_a_slow_search(captions: list[str], names: list[str]) -> None:
    def holds(caption: str, name: str) -> bool:
        return bool(name.split()) and f" {' '.join(name.split())} " in f" {' '.join(caption.split())} "

    slow = [sum(holds(caption, name) for caption in captions) for name in names]
    assert count_captions(captions, names).tolist() == slow


def test_a_text_file_has_a_caption_per_line(tmp_path: Path) -> None:
    path = put(tmp_path / "captions.txt", "\ufeff" + "\r\n".join(LINES))
    assert occurrences(CONCEPTS, path).tolist() == COUNTS
    broken = put(tmp_path / "broken.txt", "\n".join(LINES).encode() + b"\n\xff\xfe shark")
    assert occurrences(CONCEPTS, broken)[2] == 4


def test_shards_hold_captions_in_text_members(tmp_path: Path) -> None:
    members = [
        (f"{number}.{extension}", content)
        for number, line in enumerate(LINES)
        for extension, content in (("jpg", b"an image"), ("txt", line.encode()), ("json", b'{"caption": "ark"}'))
    ]
    first = tar(tmp_path / "0.tar", members[:6])
    tar(tmp_path / "1.tar", members[6:])
    assert occurrences(CONCEPTS, tmp_path).tolist() == COUNTS
    assert occurrences(CONCEPTS, first).tolist() == [1, 1, 1, 1, 1, 0, 0]


def test_an_imported_dataset_gives_its_training_texts(tmp_path: Path) -> None:
    folder = shards(tmp_path, "sea", {"train": [("shark", 1), ("shark", 2), ("ray", 3)], "test": [("shark", 4)]})
    assert occurrences([Concept("x", "shark"), Concept("x", "ray"), Concept("x", "eel")], folder).tolist() == [2, 1, 0]


def test_tables_give_counts_by_concept_or_by_class(tmp_path: Path) -> None:
    concepts = [Concept("a", "Grey-Wolf"), Concept("b", "grey wolf"), Concept("b", "fox")]
    table = {"b+++grey wolf": 5, "grey wolf": 2, "GREY WOLF": 1, "fox": 7, "owl": 1}
    for path, text in (
        (tmp_path / "counts.json", json.dumps(table)),
        (tmp_path / "counts.tsv", "".join(f"{name}\t{count}\n" for name, count in table.items())),
    ):
        assert occurrences(concepts, put(path, text)).tolist() == [3, 5, 7]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("counts.json", "[1]", "a list"),
        ("counts.json", '{"fox": "many"}', "'fox' has no integer"),
        ("counts.json", '{"fox": true}', "'fox' has no integer"),
        ("counts.json", '{"fox": -1}', "'fox' has no integer"),
        ("counts.json", "{", "not a table"),
        ("counts.json", '{"owl": 1}', r"1 concepts have no count, the first is 'b\+\+\+fox'"),
        ("counts.tsv", "fox\tmany\n", "not a table"),
        ("counts.tsv", "fox 3\n", "'fox 3' has no integer"),
        ("shards.tar", "no tar", "no sample in it"),
    ],
)
def test_a_source_of_another_shape_is_refused(name: str, text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=reason):
        occurrences([Concept("b", "fox")], put(tmp_path / name, text))


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.txt", tmp_path / "gone.tsv", tmp_path):
        with pytest.raises(FomoError, match="no captions in"):
            occurrences(CONCEPTS, path)


def test_a_thousand_names_are_found_at_once() -> None:
    names = [f"thing number {number}" for number in range(1000)]
    assert np.array_equal(count_captions((f"a {name}!" for name in names), names), np.ones(1000))


@pytest.mark.parametrize(
    ("name", "caption", "count"),
    [
        ("फूल", "लाल फूल", 1),
        ("फूल", "फैल गया", 0),
        ("फूल", "फल", 0),
        ("பூ", "பூனை", 0),
        ("猫", "黒い猫がいる", 1),
        ("黒猫", "黒い猫がいる", 0),
        ("熊猫", "大熊猫吃竹子", 1),
        ("แมว", "แมวดำนอน", 1),
        ("ネコ", "ﾈｺがいる", 1),
        ("ကြောင်", "ကြောင်နက်", 1),
        ("고양이", "검은 고양이 한 마리", 1),
        ("고양", "검은 고양이 한 마리", 0),
        ("caf\u00e9", "a cafe\u0301 table", 1),
        ("cafe", "a cafe\u0301 table", 0),
        ("می‌خواهم", "من می‌خواهم", 1),
        ("C++", "learn C++, now", 1),
        ("C++", "learn C++17", 1),
        ("C++", "learn C# and C", 0),
        ("C#", "in C# (or F#)", 1),
        ("C♯", "in C# minor", 1),
        ("C", "C++ and C#", 0),
        ("C", "C/C++", 1),
        ("a", "a+b", 1),
        ("cat", "cat™ food", 1),
        ("soft hyphen", "soft hy\u00adphen", 1),
        ("großer Hund", "GROSSER HUND", 1),
        ("x²", "x2", 1),
    ],
)
def test_names_are_found_in_every_script(name: str, caption: str, count: int) -> None:
    assert count_captions([caption], [name]).tolist() == [count]


def test_names_that_differ_in_a_sign_are_counted_apart() -> None:
    assert count_captions(["C++ or C#?", "C++", "plain C"], ["C", "C++", "C#"]).tolist() == [1, 2, 1]


def test_names_of_one_character_are_found_beside_those_of_several() -> None:
    assert count_captions(["大熊猫和猫", "熊"], ["猫", "熊猫", "大熊猫", "熊"]).tolist() == [1, 1, 1, 2]
