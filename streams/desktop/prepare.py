"""From packages to datasets: fetched, read, rendered over all cores, split, and only then written, each as a whole.

What is rendered is kept in notes beside the packages until all datasets are written, so that the same command goes on
after an interruption. Nothing of a dataset is to be seen under its name before it is whole.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock, Timeout

from fomo.data.card import SPLITS, DatasetCard, read_card
from fomo.data.importing.job import (
    ImportPlan,
    ImportSource,
    Tick,
    bring_in,
    check_destination,
    fingerprint,
    listed,
    resumed,
)
from fomo.errors import FomoError
from fomo.system.workers import Run, batched, runner
from streams.desktop.declared import DesktopSet, Package, chosen_sets, load_packages, load_sets
from streams.desktop.fetching import Say, obtain_packages
from streams.desktop.manifest import load_manifest
from streams.desktop.pictures import CHUNK, SIZE, Picture, Rendered, RenderedEntry, from_note, render_chunk
from streams.desktop.readers import Found, find_pictures
from streams.desktop.splits import Row, decide, for_the_pool, left_out, rows_of
from streams.desktop.svg import RESVG, check_renderer

VERSION = 1
"""Part of the mark of notes: changes whenever the pictures would."""
Counted: TypeAlias = Callable[[str, int], AbstractContextManager[Tick]]
"""``counted(what, total)``: while open, it hears how many more are done."""


@dataclass(frozen=True)
class Preparation:
    """What is prepared, and where.

    Attributes:
        out: the folder of the datasets.
        source: the folder of the packages, which are downloaded where they lack.
        sets: the datasets.
        packages: all packages by key.
        num_workers: processes.
        published: the manifest's datasets.
    """

    out: Path
    source: Path
    sets: Sequence[DesktopSet]
    packages: Mapping[str, Package]
    num_workers: int
    published: Mapping[str, Mapping[str, object]]

    @property
    def missing(self) -> list[DesktopSet]:
        """The datasets that are not there yet."""
        return [one for one in self.sets if not (self.out / one.name / "dataset.json").is_file()]

    @property
    def mark(self) -> str:
        """A hash of all that the pictures depend on."""
        pinned = {key: package.sha256 for key, package in self.packages.items()}
        return fingerprint("desktop", VERSION, SIZE, CHUNK, RESVG, pinned, [asdict(one) for one in self.sets])

    @property
    def notes(self) -> Path:
        """Where what is rendered is kept until all is written."""
        return self.source / f"rendered-{self.mark[:12]}"


def prepare_desktop(
    out: Path, source: Path, asked: Sequence[str], num_workers: int, say: Say, counted: Counted, debian: bool = False
) -> list[DatasetCard]:
    """Prepare the datasets of the stream below ``out``; return their cards.

    Args:
        out: the folder of the datasets.
        source: the folder of the packages, which are downloaded where they lack.
        asked: short names of the datasets that are prepared only where they are asked for.
        num_workers: processes.
        say: prints a line.
        counted: shows how far it is.
        debian: whether the datasets of Debian's packages are prepared.

    Raises:
        FomoError: all that a user can mend.
    """
    sets = chosen_sets(asked, load_sets(), debian)
    return prepare(Preparation(out, source, sets, load_packages(), num_workers, load_manifest()), say, counted)


def prepare(wanted: Preparation, say: Say, counted: Counted) -> list[DatasetCard]:
    """Prepare what is missing; see :func:`prepare_desktop`."""
    if wanted.missing:
        check_renderer()
        for one in wanted.missing:
            check_destination(one.name, wanted.out)
        try:
            wanted.source.mkdir(parents=True, exist_ok=True)
            with FileLock(wanted.source / ".prepare.lock", timeout=0):
                _prepare(wanted, say, counted)
        except Timeout:
            raise FomoError(f"another preparation with '{wanted.source}' is under way: wait for it.") from None
        except OSError as error:
            why = f"{error.filename or wanted.source}: {error.strerror}"
            raise FomoError(f"{why}. What is finished is kept: with that mended, the same command goes on.") from None
    return [read_card(wanted.out / one.name / "dataset.json") for one in wanted.sets]


def _prepare(wanted: Preparation, say: Say, counted: Counted) -> None:
    keys = dict.fromkeys(key for one in wanted.sets for key in one.packages)
    archives = obtain_packages([wanted.packages[key] for key in keys], wanted.source, say)
    say("reading the packages")
    found = find_pictures(wanted.sets, archives)
    with runner(wanted.num_workers) as run:
        rows = _decided(wanted, found, run, counted)
        _refuse_lost(wanted, rows)
        _write(wanted, found, rows, run, counted)
    shutil.rmtree(wanted.notes, ignore_errors=True)


def _decided(wanted: Preparation, found: Found, run: Run, counted: Counted) -> dict[str, list[Row]]:
    """Render everything and decide on every picture. What is asked for changes nothing in the rest."""
    total = sum(map(len, found.values()))
    rows: dict[str, list[Row]] = {}
    with counted("rendering", total) as tick:
        for one in wanted.sets:
            pictures = found[one.name]
            rows[one.name] = rows_of(one, pictures, _rendered(wanted, one, pictures, run, tick))
    decided = decide({one.name: rows[one.name] for one in wanted.sets if not one.is_optional})
    always = list(chain.from_iterable(decided.values()))
    alone = [[one.name] for one in wanted.sets if one.ask]
    for names in (*alone, [one.name for one in wanted.sets if one.debian]):
        decided |= decide({name: rows[name] for name in names}, always)
    return decided


def _rendered(
    wanted: Preparation, one: DesktopSet, pictures: Sequence[Picture], run: Run, tick: Tick
) -> list[Rendered]:
    kept = wanted.notes / f"{one.name}-{_content(pictures)[:12]}"
    notes = resumed(render_chunk, batched(pictures, CHUNK), run, kept, tick)
    return [from_note(note) for note in chain.from_iterable(notes)]


def _content(pictures: Sequence[Picture]) -> str:
    """A hash of what is rendered: notes of other pictures, which another version of this code found, are not read."""
    made = hashlib.sha256()
    for each in pictures:
        made.update(f"{each.path}\0{each.svg}\0{each.box}\0{each.reason}\0".encode(errors="surrogatepass"))
        made.update(each.data)
    return made.hexdigest()


def _refuse_lost(wanted: Preparation, rows: Mapping[str, Sequence[Row]]) -> None:
    """Refuse a dataset of which nothing is left, or fewer pictures could be rendered than were published."""
    for one in wanted.sets:
        if all(row.reason for row in rows[one.name]):
            why = ", ".join(
                f"{count} {reason}" for reason, count in Counter(row.reason for row in rows[one.name]).items()
            )
            raise FomoError(f"'{one.name}' has no image left ({why}). Nothing is written.")
        if one.name not in wanted.published or one.role == "pool":
            continue
        expected = int(str(wanted.published[one.name]["usable"]))
        have = sum(1 for row in rows[one.name] if row.digest)
        if have < expected:
            reasons = sorted({row.reason for row in rows[one.name] if not row.digest})
            raise FomoError(
                f"'{one.name}' has lost images: {have} of the {expected} published could be rendered "
                f"({', '.join(reasons) or 'the others are not in the packages'}). Nothing is written."
            )


def _write(wanted: Preparation, found: Found, rows: Mapping[str, Sequence[Row]], run: Run, counted: Counted) -> None:
    kept = [one for one in wanted.sets if one.role == "retention" and not one.is_optional]
    missing = wanted.missing
    extra = {one.name: for_the_pool(rows[one.name]) for one in kept}
    total = sum(sum(not row.reason for row in rows[one.name]) for one in missing)
    with counted("writing", total) as tick:
        for one in missing:
            entries = _entries(wanted, one, found, rows[one.name], run)
            if one.role == "pool":
                for each in kept:
                    more = _entries(wanted, each, found, extra[each.name], run)
                    entries["train"] += [_captioned(entry, each.templates[0]) for entry in more["train"]]
            plan = ImportPlan(
                _card(wanted, one, found[one.name], rows[one.name]),
                {split: partial(listed, list(each)) for split, each in entries.items()},
                left_out(rows[one.name]),
            )
            order = [[asdict(entry) | {"png": ""} for entry in each] for each in entries.values()]
            source = ImportSource(one.name, fingerprint(wanted.mark, order), partial(_planned, plan))
            bring_in(source, wanted.out, 1, tick)


def _planned(plan: ImportPlan, run: Run, folder: Path, tick: Tick) -> ImportPlan:
    """The plan, which is known already."""
    return plan


def _entries(
    wanted: Preparation, one: DesktopSet, found: Found, rows: Sequence[Row], run: Run
) -> dict[str, list[RenderedEntry]]:
    """The pictures that stay, by split; they are read from the notes."""
    pictures = found[one.name]
    rendered = _rendered(wanted, one, pictures, run, lambda number: None)
    entries: dict[str, list[RenderedEntry]] = {split: [] for split in SPLITS}
    for row in rows:
        if not row.reason:
            caption = pictures[row.number].caption
            each = rendered[row.number]
            captions = (caption,) if caption else ()
            entries[row.split].append(RenderedEntry(row.path, each.png, each.digest, row.class_name, captions))
    return entries


def _captioned(entry: RenderedEntry, template: str) -> RenderedEntry:
    """A picture of a class as one of the pool, which has captions alone."""
    caption = template.replace("{}", str(entry.class_name))
    return RenderedEntry(entry.path, entry.png, entry.digest, None, (caption,))


def _card(wanted: Preparation, one: DesktopSet, pictures: Sequence[Picture], rows: Sequence[Row]) -> DatasetCard:
    stay = [row for row in rows if not row.reason]
    names = {row.class_name for row in stay if row.class_name is not None}
    order = [name for name in one.classes if name in names] or sorted(names)
    pinned = [wanted.packages[key] for key in one.packages]
    packages = ", ".join(f"{each.client} {each.name} {each.version} (SHA-256 {each.sha256})" for each in pinned)
    credits = sorted({pictures[row.number].credit for row in stay})
    return DatasetCard(
        one.name,
        tuple(order),
        () if one.kind == "pairs" else one.templates,
        {},
        kind=one.kind,
        role=one.role,
        domain=one.domain,
        licence=", ".join(sorted({pictures[row.number].licence for row in stay})),
        source=f"{packages}; SVG rendered by resvg-py {RESVG}; authors: {'; '.join(credits)}",
    )
