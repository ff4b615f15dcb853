"""The ways through the code stay short; how they are counted, ``tests/house.py`` says."""

from pathlib import Path

import pytest

from tests.house import STARTS, TOP, files_of_a_method, way

LIMITS = {"execute": 12, "prepare": 9}


@pytest.mark.parametrize("name", STARTS)
def test_the_way_of_a_run_is_short(name: str) -> None:
    (path, *_), start = STARTS[name]
    assert len(way(TOP / path, start)) <= LIMITS[name]


def test_a_methods_name_reaches_its_hook_through_few_files() -> None:
    assert len(files_of_a_method(TOP)) <= 6


def test_what_is_named_on_the_way_counts_and_nothing_else(tmp_path: Path) -> None:
    source = """
from fomo.a import one
from fomo.b import two
from fomo.c import three

def start():
    helper()

def helper():
    return one, start

def elsewhere():
    return two(three)
"""
    (tmp_path / "module.py").write_text(source)
    assert way(tmp_path / "module.py", "start") == {"module", "fomo.a"}
    assert way(tmp_path / "module.py", "elsewhere") == {"module", "fomo.b", "fomo.c"}
