"""Installs packages of somebody else's into a folder, as pip would: code beside a dist-info with entry points."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from fomo.config import plugins
from tests.fomo.helpers import put

TEMPLATE = Path(__file__).parents[1] / "docs" / "template"
TEMPLATE_CODE = TEMPLATE / "fomo_template"


ENTRY = re.compile(r'\[project\.entry-points\."fomo\.(\w+)"\]\n(\w+) = "(.+)"')


def install(folder: Path, package: str, source: str, entries: Mapping[str, str]) -> None:
    """``entries`` maps ``KIND.NAME`` to what is in ``source``, the module ``package``."""
    put(folder / package / "__init__.py", source)
    declare(folder, package, {key: f"{package}:{value}" for key, value in entries.items()})


def declare(folder: Path, package: str, entries: Mapping[str, str]) -> None:
    """``entries`` maps ``KIND.NAME`` to ``MODULE:ATTRIBUTE`` of the ``package``, whose code lies in ``folder``."""
    put(folder / f"{package}-1.2.dist-info" / "METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = []
    for key, target in entries.items():
        kind, name = key.split(".", 1)
        lines += [f"[fomo.{kind}]", f"{name} = {target}"]
    put(folder / f"{package}-1.2.dist-info" / "entry_points.txt", "\n".join(lines) + "\n")


def install_template(folder: Path) -> None:
    """The package of docs/template, with the entry points that its pyproject.toml declares."""
    for path in TEMPLATE_CODE.glob("*.py"):
        put(folder / TEMPLATE_CODE.name / path.name, path.read_text(encoding="utf-8"))
    declared = ENTRY.findall((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))
    declare(folder, TEMPLATE_CODE.name, {f"{kind}.{name}": target for kind, name, target in declared})


@contextmanager
def seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While open, what is installed in ``folder`` is installed."""
    monkeypatch.syspath_prepend(folder)
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()
