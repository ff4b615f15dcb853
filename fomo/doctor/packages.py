"""The versions that are installed, and those that the package asks for. Imports nothing that may be missing."""

import platform
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

from fomo.doctor.facts import Package

DISTRIBUTION = "fomo-bench"


def packages() -> tuple[Package, ...]:
    """Python, torch, then every other dependency that is no extra; Python alone in a source tree without metadata."""
    try:
        wanted = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
        python = Package("python", platform.python_version(), metadata(DISTRIBUTION)["Requires-Python"])
    except PackageNotFoundError:  # what a package asks for is not known there
        return (Package("python", platform.python_version(), ""),)
    needed = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    torch_first = sorted(needed, key=lambda each: each.name != "torch")
    return (python, *(Package(each.name, _installed(each.name), str(each.specifier)) for each in torch_first))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
