"""Who may import whom. ``ORDER`` is the architecture: a place imports itself and the rows above it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
ORDER = (
    ("fomo.errors", "fomo.rng", "fomo.version", "fomo.position"),
    ("fomo.system",),
    ("fomo.data",),
    ("fomo.stream",),
    ("fomo.results",),
    ("fomo.report",),
    ("fomo.loggers",),
    ("fomo.batch",),
    ("fomo.method",),
    ("fomo.budget",),
    ("fomo.model",),
    ("fomo.checkpoint",),
    ("fomo.training",),
    ("fomo.evaluation",),
    ("fomo.loop",),
    ("fomo.config",),
    ("fomo.planning",),
    ("fomo.running",),
    ("fomo.testing", "fomo.doctor", "fomo.launching"),
    ("fomo.tuning",),
    ("fomo",),
    ("methods", "streams"),
    ("fomo.cli",),
    ("fomo.__main__",),
)
ROW = {place: number for number, row in enumerate(ORDER) for place in row}
FILES = sorted(path for package in ("fomo", "methods", "streams") for path in (TOP / package).rglob("*.py"))
BARE = (
    "fomo",
    "fomo.loggers.loggers",
    "fomo.report.board",
    "fomo.report.board_page",
    "fomo.report.export",
    "fomo.report.leaderboard",
    "fomo.report.page",
    "fomo.report.study",
    "fomo.report.submitted",
    "fomo.report.summary",
    "fomo.report.tables",
    "fomo.report.uncertainty",
    "fomo.results.bootstrap",
    "fomo.results.measures",
    "fomo.results.published",
    "fomo.results.record",
    "fomo.results.rewriting",
    "fomo.results.run",
    "fomo.results.submission",
)


def place_of(module: str) -> str:
    """``fomo.data.card`` lies in ``fomo.data``, ``methods.galore`` in ``methods``; a name of ``fomo`` itself in it."""
    parts = module.split(".")
    inner = ".".join(parts[:2])
    return inner if parts[0] == "fomo" and inner in ROW else parts[0]


def imported(source: str) -> Iterator[str]:
    """Every module that is imported, inside of functions too; ``from fomo import rng`` imports ``fomo.rng``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def broken(module: str, source: str) -> list[str]:
    """The imports that do not run up the order."""
    home = place_of(module)
    places = {name: place_of(name) for name in imported(source) if name.split(".")[0] in ("fomo", "methods", "streams")}
    return [name for name, place in places.items() if place != home and ROW[place] >= ROW[home]]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_an_import_runs_up_the_order(path: Path) -> None:
    assert broken(module_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("fomo.budget.plan", "from fomo.loop import run"),
        ("fomo.budget.plan", "def f():\n    import fomo.config.factory"),
        ("fomo.report.page", "from fomo.config.schema import resolve"),
        ("fomo.stream.pools", "from methods.schedules import cosine"),
        ("methods.galore", "from streams.plan import CHUNKS"),
        ("streams.plan", "from fomo.cli import main"),
        ("fomo.errors", "from fomo import rng"),
    ],
)
def test_a_planted_wrong_import_is_found(module: str, source: str) -> None:
    assert len(broken(module, source)) == 1


def test_every_place_has_a_row_and_every_row_is_there() -> None:
    assert {place_of(module_of(path)) for path in FILES} == set(ROW)
    inside = {
        entry.stem for entry in (TOP / "fomo").iterdir() if entry.suffix == ".py" or (entry / "__init__.py").exists()
    }
    assert {f"fomo.{name}" for name in inside - {"__init__"}} <= set(ROW)


def test_few_files_lie_at_the_top_of_fomo() -> None:
    assert len([entry for entry in (TOP / "fomo").iterdir() if entry.is_file()]) <= 10


@pytest.mark.parametrize("module", BARE)
def test_results_and_reports_need_neither_torch_nor_hydra(module: str) -> None:
    code = f"import sys, {module}; print([n for n in ('torch', 'hydra', 'omegaconf', 'open_clip') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted((TOP / "fomo" / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_a_command_imports_what_is_heavy_when_it_is_called(path: Path) -> None:
    heads = [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {name.split(".")[0] for head in heads for name in imported(ast.unparse(head))}
    assert not names & {"methods", "streams", "torch", "open_clip"}


@pytest.mark.parametrize("path", sorted((TOP / "fomo").rglob("*.py")), ids=lambda path: str(path.relative_to(TOP)))
def test_no_compiler_is_asked_for_by_an_import(path: Path) -> None:
    """``torch.compile`` imports torch's compiler, a second that few runs need."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    heads = [each for each in statements if not isinstance(each, ast.FunctionDef | ast.ClassDef)]
    assert not [head for head in heads if "torch.compile(" in ast.unparse(head)]
