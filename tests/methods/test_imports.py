"""The built-in methods get no more of the benchmark than a guest does: the public names of ``fomo``."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fomo

METHODS = Path(__file__).parents[2] / "methods"
FILES = sorted(METHODS.rglob("*.py"))


def names_of_fomo(path: Path) -> Iterator[str]:
    """What a module takes from the benchmark: names that it imports or reads of ``fomo``, and modules below it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "fomo":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fomo."):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("fomo."))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fomo":
            yield node.attr


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(METHODS)))
def test_a_method_uses_public_names_of_fomo_alone(path: Path) -> None:
    assert not set(names_of_fomo(path)) - set(fomo.__all__)


@pytest.mark.parametrize("name", sorted(set(fomo.__all__) - {"__version__", "Weights"}))
def test_a_public_name_is_there_and_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(fomo, name))


def test_what_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'fomo' has no attribute 'nothing'"):
        fomo.nothing  # noqa: B018


def test_neither_fomo_nor_the_list_of_methods_imports_torch_or_hydra() -> None:
    code = "import sys, fomo, methods.presets; print(*sorted({'torch', 'hydra'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
