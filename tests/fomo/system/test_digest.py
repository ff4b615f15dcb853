"""Hashes that stored results rest on: they must never change."""

import hashlib
from pathlib import Path

from fomo.system.digest import file_digest, json_digest


def test_a_file_is_hashed_byte_by_byte_however_long_it_is(tmp_path: Path) -> None:
    for content in (b"", b"abc", bytes(range(256)) * 10_000):
        (tmp_path / "a").write_bytes(content)
        assert file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_values_are_hashed_as_json_with_sorted_keys_and_plain_characters() -> None:
    expected = hashlib.sha256('{"a": [1, 0.5, null], "é": "🐕"}'.encode()).hexdigest()
    assert json_digest({"é": "🐕", "a": [1, 0.5, None]}) == expected == json_digest({"a": (1, 0.5, None), "é": "🐕"})
