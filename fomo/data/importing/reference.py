"""``fomo data import fomo-in-flux``: the data of the public reference, as its JSON files describe it.

Images lie in ``ROOT/NAME/<relative path>``, or in ``ROOT/NAME.tar`` whose members start with ``NAME/``. The splits,
class order and texts are the reference's own, images are read as it reads them (``decoding``), and every sample is
kept, duplicates too: scores are comparable only so.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from fomo.data.card import PLAIN, DatasetCard
from fomo.data.importing.job import ImportPlan, ImportSource, Listed, RawSample, check_size, fingerprint
from fomo.data.importing.reference_info import Described, Info, read_info
from fomo.data.sources import LeftOut, Location, is_inside, tar_members
from fomo.data.stored_images import EXTENSIONS
from fomo.errors import FomoError
from fomo.system.workers import Run

MISSING = "named in the JSON, not there"
UNNAMED = "there, not named in the JSON"
SOURCE = "FoMo-in-Flux (Roth et al. 2024), split of the reference"
"""The source on the cards of the reference's own datasets, whose classes and prompts are kept as they are."""


@dataclass(frozen=True)
class ReferenceEntry:
    """An image that the JSON describes."""

    described: Described
    location: Location

    @property
    def path(self) -> str:
        """Its path in the dataset's folder."""
        return self.described.path

    def read(self) -> RawSample:
        """The file and all its texts."""
        about = self.described
        return RawSample(self.location.read(), about.class_name, about.training_texts, about.texts)


def reference_source(
    root: Path,
    info_folder: Path,
    name: str,
    resized: int | None = None,
    size: int | None = None,
    describe: Callable[[DatasetCard], DatasetCard] = lambda card: card,
) -> ImportSource:
    """The dataset ``name`` of the reference. Whatever its JSON lacks or has too much is counted and listed.

    ``describe`` adds to the card what is known of the dataset from elsewhere, or refuses what contradicts it.
    """
    check_size(size)
    info = read_info(info_folder, name, resized)
    places = [place for place in (root / name, root / f"{name}.tar") if place.exists()]
    if not places:
        raise FomoError(f"neither '{root / name}' nor '{root / name}.tar' is there: give the folder that holds it.")
    named = {sample.path for split in info.splits.values() for sample in split}
    found, left_out = _in_folder(places[0], named) if places[0].is_dir() else _in_tar(places[0], name, named)
    plan = _plan(info, named, found, left_out)
    plan = replace(plan, card=describe(plan.card))
    files = [*info.files, *([places[0]] if places[0].is_file() else [found[path].path for path in sorted(found)])]
    mark = fingerprint("fomo-in-flux", plan.card.to_json(), resized, size, files=files)
    total = sum(len(split) for split in info.splits.values())
    return ImportSource(name, mark, lambda run, folder, tick: plan, total, size)


def _plan(info: Info, named: set[str], found: dict[str, Location], left_out: list[LeftOut]) -> ImportPlan:
    if not named & found.keys():
        raise FomoError(f"none of the {len(named)} images that the JSON of '{info.name}' names is there.")
    copies = re.compile(rf"{re.escape(info.name)}_[a-z_]+_\d+/")  # resized copies lie in the dataset's own folder
    unnamed = [path for path in sorted(found.keys() - named) if not copies.match(path)]
    classification = info.kind == "classification"
    card = DatasetCard(
        info.name,
        info.classes,
        (info.template,) if classification else (),
        {},
        kind=info.kind,
        source=SOURCE,
        primers=info.primers if classification else {},
        decoding=PLAIN,
    )
    entries = {split: partial(_entries, samples, found, not classification) for split, samples in info.splits.items()}
    return ImportPlan(card, entries, [*left_out, *(LeftOut(path, UNNAMED) for path in unnamed)], info.counts)


def _entries(samples: list[Described], found: dict[str, Location], needs_captions: bool, run: Run) -> Iterable[Listed]:
    for sample in samples:
        if needs_captions and not sample.training_texts:
            yield LeftOut(sample.path, "no caption")
        elif not is_inside(sample.path):
            yield LeftOut(sample.path, "path out of the root")
        elif sample.path not in found:
            yield LeftOut(sample.path, MISSING)
        else:
            yield ReferenceEntry(sample, found[sample.path])


def _in_folder(folder: Path, named: set[str]) -> tuple[dict[str, Location], list[LeftOut]]:
    """Files below ``folder`` that are named or have the name of an image, by relative path."""
    found: dict[str, Location] = {}
    left_out: list[LeftOut] = []
    inside = folder.resolve()
    for place, subfolders, names in os.walk(folder):
        subfolders.sort()
        for path in sorted(Path(place) / name for name in names):
            relative = path.relative_to(folder).as_posix()
            if path.suffix.lower() not in EXTENSIONS and relative not in named:
                continue
            if not path.resolve().is_relative_to(inside):
                left_out.append(LeftOut(relative, "link out of the folder"))
            elif path.is_file():
                found[relative] = Location(path)
    return found, left_out


def _in_tar(path: Path, name: str, named: set[str]) -> tuple[dict[str, Location], list[LeftOut]]:
    """Members below ``name/`` that are named or have the name of an image; of equal names the first counts."""
    found: dict[str, Location] = {}
    left_out: list[LeftOut] = []
    for member in tar_members(path):
        if isinstance(member, LeftOut):
            left_out.append(member)
            continue
        relative = member.name.removeprefix(f"{name}/")
        if PurePosixPath(relative).suffix.lower() not in EXTENSIONS and relative not in named:
            continue
        if relative == member.name:
            left_out.append(LeftOut(member.name, "tar member outside of its dataset's folder"))
        elif relative in found:
            left_out.append(LeftOut(member.name, "name that stands twice in a tar"))
        else:
            found[relative] = member.location
    return found, left_out
