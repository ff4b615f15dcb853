"""Installs packages of somebody else's into a folder, as pip would: code beside a dist-info with entry points."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from fomo.config import plugins
from tests.fomo.helpers import put

TEMPLATE = Path(__file__).parents[1] / "docs" / "template"


def install(folder: Path, package: str, source: str, entries: Mapping[str, str]) -> None:
    """``entries`` maps ``KIND.NAME`` to what is in ``source``, the module ``package``."""
    put(folder / package / "__init__.py", source)
    put(folder / f"{package}-1.2.dist-info" / "METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = []
    for key, value in entries.items():
        kind, name = key.split(".", 1)
        lines += [f"[fomo.{kind}]", f"{name} = {package}:{value}"]
    put(folder / f"{package}-1.2.dist-info" / "entry_points.txt", "\n".join(lines) + "\n")


def install_template(folder: Path) -> None:
    """The package of docs/template."""
    source = (TEMPLATE / "fomo_pull" / "__init__.py").read_text(encoding="utf-8")
    install(folder, "fomo_pull", source, {"methods.pull": "Pull"})


@contextmanager
def seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While open, what is installed in ``folder`` is installed."""
    monkeypatch.syspath_prepend(folder)
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()
