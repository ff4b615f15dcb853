"""What torchvision's dataset objects hold: images with targets, and class names a person would say.

Files are taken by their path, so that they keep their encoding; arrays become PNG. torchvision holds the paths in
attributes that differ from class to class: the functions here make the accessors that the recipes name.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

Items = Callable[[Any], Iterable[tuple[Any, int]]]
"""Returns pairs of a path and a target; :func:`arrays` alone returns pairs of an image and a target."""
Names = Callable[[Any], Sequence[str]]
"""Returns the class names in the order of the targets."""


def files(paths: str, targets: str, first: int = 0) -> Items:
    """Samples from two attributes of equal length, which hold paths and targets; targets are counted from ``first``."""

    def items(data: Any) -> Iterator[tuple[str, int]]:
        for path, target in zip(getattr(data, paths), getattr(data, targets), strict=True):
            yield str(path), int(target) - first

    return items


def pairs(attribute: str) -> Items:
    """Samples from one attribute, which holds pairs of a path and a target."""
    return lambda data: ((str(path), int(target)) for path, target in getattr(data, attribute))


def arrays(data: Any) -> Iterator[tuple[Image.Image, int]]:
    """Samples that torchvision holds in memory: images with targets."""
    return ((image, int(target)) for image, target in (data[index] for index in range(len(data))))


def caltech(folder: str, pattern: str) -> Items:
    """Caltech's numbered files; ``pattern`` takes the number of the class, from 1, and that of the image."""

    def items(data: Any) -> Iterator[tuple[str, int]]:
        for target, number in zip(data.y, data.index, strict=True):
            yield str(Path(data.root, folder, data.categories[target], pattern.format(target + 1, number))), target

    return items


def inaturalist(data: Any) -> Iterator[tuple[str, int]]:
    """iNaturalist's files, which lie in the folder of their species."""
    return ((str(Path(data.root, data.all_categories[target], name)), target) for target, name in data.index)


def attribute(name: str, clean: Callable[[str], str] = str.strip) -> Names:
    """Class names from an attribute, each through ``clean``."""
    return lambda data: [clean(raw) for raw in getattr(data, name)]


def fixed(key: str) -> Names:
    """Class names from ``names.yaml``, in the order of the targets."""
    return lambda data: list(_tables()[key])


def translated(key: str) -> Names:
    """Class names of a table of ``names.yaml`` by the folder's name; a name that is not in it stays as it is."""
    return lambda data: [_tables()[key].get(raw, raw) for raw in data.classes]


def spaced(raw: str) -> str:
    """Lower case, spaces for underscores and slashes."""
    return " ".join(re.split(r"[_/\s]+", raw.lower())).strip()


def spaced_caltech256(raw: str) -> str:
    """``251.airplanes-101`` is "airplanes": number and the mark of Caltech-101 go."""
    return re.sub(r"^\d+\.|-101$", "", raw).replace("-", " ").strip()


def binomial(raw: str) -> str:
    """``00000_Animalia_…_Lumbricus_terrestris`` is "Lumbricus terrestris"."""
    return " ".join(raw.split("_")[-2:])


@cache
def _tables() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("names.yaml").read_text(encoding="utf-8"))
