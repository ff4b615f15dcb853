"""YAML is read as PyYAML reads it, or refused with the reason."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from fomo.config.compose import config_dir
from fomo.errors import FomoError
from fomo.system import reading
from fomo.system.reading import MAX_DEPTH, Unreadable, parse_json, read_yaml
from tests.fomo.helpers import put
from tests.fuzz.harness import HEAVY
from tests.fuzz.strategies import VALUES

FILES = sorted(config_dir().rglob("*.yaml"))
PLAIN = """
text: [a, 'b', "c\\n", "", 017x, 2020-01-01x, ! d]
numbers: [1, -0, 0x1F, 017, 1_000, 1:30, 2.5, 1.0e+3, .inf, -.INF, !!float 3, !!int '7']
others: {'yes': on, 'no': ~, null_: null, '1': true, nested: [[], {}, [{}]]}
block: |
  two
  lines
? explicit
: &anchored without an alias
"""
REFUSED = {
    "a: &x [1]\nb: *x": "an alias",
    "a: 1\na: 2": "the key 'a' stands twice",
    "1: a": "the key 1 is no string",
    "a: 2020-01-01": "a value of type date",
    "a: !!binary aGk=": "a value of type bytes",
    "!!set {a}": "a value of type tag:yaml.org,2002:set",
    "a: !!python/name:os.system": "could not determine a constructor",
    "!!python/object/apply:os.system [id]": "a value of type tag:yaml.org,2002:python",
    "<<: {a: 1}": "could not determine a constructor",
    "a: 1\n---\nb: 2": "more than one document",
    "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1): "nested more than 100 deep",
    f"a: {'9' * 101}": "a number of more than 100 digits",
    f"a: 0x{'f' * 90}": "a number of more than 100 digits",
    "a: [": "while parsing",
    "a: '\x1b'": "unacceptable character",
}


@pytest.fixture(params=["libyaml", "Python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what makes events of text here, and without libyaml."""
    if request.param == "Python":
        monkeypatch.setattr(reading, "PARSER", yaml.SafeLoader)


def test_it_reads_what_pyyaml_reads(tmp_path: Path) -> None:
    assert read_yaml(put(tmp_path / "a.yaml", PLAIN)) == yaml.safe_load(PLAIN)
    assert read_yaml(put(tmp_path / "a.yaml", "")) is None
    for file in FILES:
        assert read_yaml(file) == yaml.safe_load(file.read_bytes())


@pytest.mark.parametrize("text", REFUSED)
def test_what_has_no_place_is_refused_with_the_reason(text: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=REFUSED[text].replace("/", ".")) as caught:
        read_yaml(put(tmp_path / "a.yaml", text))
    assert str(tmp_path / "a.yaml") in str(caught.value)


@pytest.mark.parametrize("text", ['"\\ud83d"', '"\\ud83d\\ude00"', '"\\U0000d83d"'])
def test_halves_of_surrogate_pairs_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="not YAML"):
        read_yaml(put(tmp_path / "a.yaml", text))


@HEAVY
@given(value=VALUES)
def test_values_come_back_as_they_were_written(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "value.yaml"
    put(file, yaml.safe_dump({"value": value}, allow_unicode=True).encode(errors="surrogatepass"))
    try:
        expected = yaml.safe_load(file.read_bytes())
        found = read_yaml(file)
    except (FomoError, yaml.YAMLError):
        return
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1e309]", "too large"),
        ("[1.5E+309]", "too large"),
        ("-1E999", "too large"),
        (f"[{'9' * 210}e99]", "too large"),
        (f"[{'9' * 309}.5]", "too large"),
        ("[1E+0400]", "too large"),
        (f"[{'9' * 400}.5]", "too large"),
        (f"[{'9' * 101}]", "more than 100 digits"),
        (f"[-{'9' * 101}]", "more than 100 digits"),
        ("[NaN]", "no number"),
        ("[-Infinity]", "no number"),
    ],
)
def test_numbers_that_are_none_or_too_large_are_no_json(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_json(text)


def test_large_numbers_that_fit_are_json() -> None:
    assert parse_json(f"[1e308, {'9' * 100}, -1.5E-400, {'9' * 99}.5e99]") == [1e308, int("9" * 100), 0.0, 1e198]
