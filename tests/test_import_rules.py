"""Who may import whom: fomo/ knows neither methods nor streams; the two know fomo, not each other."""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
FORBIDDEN = {"fomo": {"methods", "streams"}, "methods": {"streams"}, "streams": {"methods"}}


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_package_imports_only_what_it_may(package: str) -> None:
    files = sorted((TOP / package).rglob("*.py"))
    assert files
    for path in files:
        if path.is_relative_to(TOP / "fomo" / "cli"):
            continue
        assert not imported_packages(path) & FORBIDDEN[package], path


def test_command_line_imports_plugins_only_inside_functions() -> None:
    for path in (TOP / "fomo" / "cli").glob("*.py"):
        top_level = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        module = ast.Module(body=top_level, type_ignores=[])
        names = {n.module.split(".")[0] for n in module.body if isinstance(n, ast.ImportFrom) and n.module}
        assert not names & {"methods", "streams", "torch", "open_clip"}, path
