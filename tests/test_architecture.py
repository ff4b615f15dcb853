"""The pages name what is there: paths, names in modules, folders, and the order of imports."""

import ast
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from tests.test_import_rules import ORDER

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", TOP / "results/README.md", *sorted((TOP / "docs").glob("*.md"))]
MAP = (TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:fomo|methods|streams|conf|tests|docs|benchmarks)/[^\s`:]*)(?::([\w.]+))?`")
DOTTED = re.compile(r"`((?:fomo|methods|streams)(?:\.\w+){2,})")
DEEP = ("fomo", "methods", "streams")
"""Every folder of these is on the map; of others those at the top."""


def defined(body: list[ast.stmt], prefix: str = "") -> set[str]:
    """The names that statements define: functions, classes, constants, and those in classes as ``CLASS.NAME``."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef):
            names.add(f"{prefix}{node.name}")
        elif isinstance(node, ast.ClassDef):
            names |= {f"{prefix}{node.name}"} | defined(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {f"{prefix}{target.id}" for target in targets if isinstance(target, ast.Name)}
    return names


def faults(page: str) -> list[str]:
    """What a page names and is not there."""
    missing = []
    for path, name in PATH.findall(page):
        if not any(TOP.glob(path)):
            missing.append(path)
        elif name and name not in defined(ast.parse((TOP / path).read_text(encoding="utf-8")).body):
            missing.append(f"{path}:{name}")
    return missing


def place(path: str) -> str:
    """``fomo/data/`` is ``fomo.data``, ``fomo/rng.py`` ``fomo.rng``, ``fomo/__init__.py`` ``fomo``."""
    return path.strip("/").removesuffix(".py").replace("/", ".").removesuffix(".__init__")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_path_and_name_on_a_page_is_there(page: Path) -> None:
    assert faults(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_dotted_name_on_a_page_is_there(page: Path) -> None:
    for name in DOTTED.findall(page.read_text(encoding="utf-8")):
        resolve_name(name)


def test_a_planted_wrong_name_is_found() -> None:
    page = "`fomo/loop.py:run` `fomo/loop.py:walk` `fomo/l*.py` `fomo/x*.py` `fomo/method.py:Method.flops`"
    assert faults(page) == ["fomo/loop.py:walk", "fomo/x*.py"]


def test_the_order_on_the_map_is_that_of_the_import_rules() -> None:
    table = MAP.partition("<!-- order -->")[2].partition("\n\n")[0]
    rows = [
        tuple(place(path) for path in re.findall(r"`([^`]+)`", line.split("|")[1])) for line in table.splitlines()[3:]
    ]
    assert tuple(rows) == ORDER


def test_every_folder_is_on_the_map() -> None:
    folders = [path for top in DEEP for path in (TOP / top).rglob("*") if path.is_dir()]
    folders += [path for top in ("conf", "tests") for path in (TOP / top).iterdir() if path.is_dir()]
    kept = [path for path in folders if "__pycache__" not in path.parts and any(path.iterdir())]
    named = {path.strip("/") for path, _ in PATH.findall(MAP)}
    assert [str(path.relative_to(TOP)) for path in kept if str(path.relative_to(TOP)) not in named] == []
