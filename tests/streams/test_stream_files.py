"""Stream files: what the reference wrote comes back byte for byte, and what is none is refused in a line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fomo.errors import FomoError
from fomo.stream.definition import Concept
from streams.stream_files import as_text, read_concepts, write_concepts
from tests.fomo.helpers import put

REFERENCE = Path(__file__).parents[3] / "shared" / "fomo_in_flux" / "streams"
FILES = sorted(REFERENCE.glob("*.json"))
ODD = ['it\'s "quoted"', "back\\slash", "a+b++c", "C++", "+x", "größe", "🐕 dog", "&#174;", "  two  ", "F/A-18", "日本"]


@pytest.mark.skipif(not FILES, reason="the public reference's stream files are not here")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_references_files_come_back_byte_for_byte(path: Path, tmp_path: Path) -> None:
    concepts = read_concepts(path)
    write_concepts(tmp_path / "copy.json", concepts)
    assert (tmp_path / "copy.json").read_bytes() == path.read_bytes()


@pytest.mark.skipif(not FILES, reason="the public reference's stream files are not here")
def test_the_full_stream_has_all_concepts() -> None:
    concepts = read_concepts(REFERENCE / "random_sequence_1.json")
    assert len(set(concepts)) == 18381 and len({concept.dataset for concept in concepts}) == 41


@given(st.lists(st.sampled_from(ODD), unique=True, min_size=1))
def test_odd_names_survive(names: list[str]) -> None:
    concepts = [Concept("data", name) for name in names]
    assert [Concept.parse(text) for text in json.loads(as_text(concepts))] == concepts


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ("[", "not JSON"),
        (b"\xff\xfe[]", "not JSON"),
        ("[" * 200_000, "nested too deeply|not JSON"),
        ("[" * 200_000 + "]" * 200_000, "nested too deeply"),
        ("{}", "of type dict.*JSON list"),
        ('{"tasks": [["a+++b"]]}', "of type dict"),
        ('"a+++b"', "of type str"),
        ("null", "of type NoneType"),
        ("[]", "an empty list"),
        ('["a+++b", 3]', "entry 1 is of type int"),
        ('["a+++b", ["a+++c"]]', "entry 1 is of type list"),
        ('["a+++b", "a b"]', "entry 1: 'a b' is no concept: it has no"),
        ('["a+++b+++c"]', "more than one"),
        ('["+++b"]', "a name is empty"),
        ('["a+++ "]', "a name is empty"),
        ('["a+++b\\nc"]', r"control character '\\n'"),
        ('["a+++b\\u0000"]', r"control character '\\x00'"),
        ('["a+++b\\u001b[31m"]', r"control character '\\x1b'"),
        ('["a+++b\\ud800"]', "not text in UTF-8"),
        ('["a+++b", "a+++c", "a+++b"]', r"'a\+\+\+b' stands twice"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_a_line(content: str | bytes, reason: str, tmp_path: Path) -> None:
    path = put(tmp_path / "stream.json", content)
    with pytest.raises(FomoError, match=reason) as caught:
        read_concepts(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    str(caught.value).encode()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(FomoError, match="cannot be read"):
            read_concepts(path)


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    for concept in (Concept("a", "b+++c"), Concept("a+", "b"), Concept("a", "b\nc")):
        with pytest.raises(FomoError):
            write_concepts(tmp_path / "out.json", [concept])
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = put(tmp_path / "out.json", "mine")
    with pytest.raises(FomoError, match="exists"):
        write_concepts(path, [Concept("a", "b")])
    with pytest.raises(FomoError, match="folder"):
        write_concepts(tmp_path / "no" / "out.json", [Concept("a", "b")])
    assert path.read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
