"""Every import: samples in, indexed shards out, over all cores, resumable, the card last.

A kind of import (a folder, reference data, shards made elsewhere) is a :class:`Source`: it lists its samples, and
:func:`bring_in` does the rest. What was read is written in the order of the list, so that the bytes depend on the
source alone. Everything goes into a hidden folder beside the final one; each finished shard leaves a record there,
with which the same command goes on after an interruption; the folder is renamed when it is whole.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from filelock import FileLock, Timeout

from fomo.data.card import SPLITS, DatasetCard
from fomo.data.importing import split_writer
from fomo.data.importing.split_writer import SplitWriter
from fomo.data.samples import CAPTION_KINDS
from fomo.data.shards import write_card
from fomo.data.sources import LeftOut, Unusable
from fomo.data.stored_images import StoredImage, read_image
from fomo.errors import FomoError, WorkerDied, WorkerHung, check_allowed
from fomo.system.digest import file_digest
from fomo.system.workers import Run, batched, runner

FORMAT = 2
CHUNK = 8
"""Entries that a worker takes at a time: all that is under way is held in memory."""
MAX_NAME_BYTES = 200
"""Of a dataset's name: file systems take 255, and the folder of an unfinished import has a longer name."""
NO_IMAGE = "class without any image"
LEFT_OUT_FILE = "left_out.jsonl"
NOTES = "notes"
"""A folder for what a plan wants to find again after an interruption."""


class Entry(Protocol):
    """A sample that a worker can read."""

    @property
    def path(self) -> str:
        """Where it comes from, for people."""

    def read(self) -> "RawSample":
        """The sample.

        Raises:
            Unusable: it is left out and counted.
        """


@dataclass(frozen=True)
class RawSample:
    """An image file and its texts. ``digest`` says that it has been decoded already."""

    data: bytes
    class_name: str | None
    captions: list[str]
    caption_kinds: Mapping[str, list[str]] | None = None
    digest: str | None = None


Listed: TypeAlias = Entry | LeftOut


@dataclass(frozen=True)
class ImportPlan:
    """What an import will do. ``card`` is all that can be known before: counts and hashes are filled in."""

    card: DatasetCard
    entries: Mapping[str, Callable[[Run], Iterable[Listed]]]
    left_out: list[LeftOut] = field(default_factory=list)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportSource:
    """Something to import; whoever makes one has refused what can be refused before long work.

    ``fingerprint`` changes whenever the shards would: an interrupted import of another one is not gone on with.
    ``plan`` may keep notes in the hidden folder. ``total`` counts the steps of ``plan`` and of the entries, ``None``
    where that is not known before. ``size`` is the shorter side that images are shrunk to. ``remarks`` are sentences
    for people on how it was understood.
    """

    name: str
    fingerprint: str
    plan: Callable[[Run, Path, "Tick"], ImportPlan]
    total: int | None = None
    size: int | None = None
    remarks: Sequence[str] = ()


Tick: TypeAlias = Callable[[int], None]
"""Called with the number of samples that were dealt with."""


def bring_in(source: ImportSource, out: Path, num_workers: int = 1, tick: Tick = lambda number: None) -> DatasetCard:
    """Write the dataset ``out/NAME``; return its card. After an interruption the same call goes on."""
    check_destination(source.name, out)
    with scratch_folder(out, source) as folder, runner(num_workers) as run:
        plan = source.plan(run, folder, tick)
        splits = {split: _write_split(plan, split, source.size, folder, run, tick) for split in SPLITS}
        card = _finish(plan, splits, folder)
        folder.rename(out / source.name)
    return card


def check_destination(name: str, out: Path) -> None:
    """Refuse a bad name and a place that is taken."""
    DatasetCard(name, ("any",), ("{}",), {})
    check_allowed(
        len(name.encode()) <= MAX_NAME_BYTES,
        f"--name of {len(name)} characters ('{name[:20]}…')",
        f"{MAX_NAME_BYTES} bytes",
    )
    if out.exists() and not out.is_dir():
        raise FomoError(f"--out '{out}' is a file: give a folder.")
    if (out / name).exists():
        raise FomoError(f"'{out / name}' exists: choose another --name or --out, or remove it.")


def check_size(size: int | None) -> None:
    """Refuse a shorter side that no image can have."""
    check_allowed(size is None or size >= 1, f"--size {size}", "1 and above, the shorter side in pixels")


def fingerprint(*parts: Any, files: Iterable[Path] = ()) -> str:
    """A hash of plain values, and of the names, sizes and times of files."""
    digest = hashlib.sha256(json.dumps([FORMAT, split_writer.SHARD_BYTES, *parts], sort_keys=True).encode())
    for path in files:
        about = path.stat()
        digest.update(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


@contextmanager
def scratch_folder(out: Path, source: ImportSource) -> Iterator[Path]:
    """The hidden folder of an import, with what an interrupted one of the same source left in it.

    A refusal removes it; an interruption leaves it, so that the same command goes on.
    """
    folder = out / f".{source.name}.partial"
    lock = out / f".{source.name}.lock"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            mark = folder / "fingerprint"
            if not mark.is_file() or mark.read_text() != source.fingerprint:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                mark.write_text(source.fingerprint)
            try:
                yield folder
            except (WorkerDied, WorkerHung):
                raise
            except FomoError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise FomoError(f"another import of '{source.name}' into '{out}' is under way: wait for it.") from None
    except OSError as error:
        why = f"{error.filename or out}: {error.strerror}"
        raise FomoError(f"{why}. What is finished is kept: with that mended, the same command goes on.") from None


def _write_split(plan: ImportPlan, split: str, size: int | None, folder: Path, run: Run, tick: Tick) -> SplitWriter:
    writer = SplitWriter(folder, split)
    tick(writer.num_consumed)
    read = partial(_read_chunk, size=size, decoding=plan.card.decoding)
    entries = islice(plan.entries[split](run) if split in plan.entries else (), writer.num_consumed, None)
    for result in chain.from_iterable(run(read, batched(entries, CHUNK))):
        if isinstance(result, LeftOut):
            writer.leave_out(result)
        else:
            image, about = result
            writer.add(image.extension, image.data, about)
        tick(1)
    writer.close()
    return writer


def _read_chunk(
    entries: list[Listed], size: int | None, decoding: str
) -> list[tuple[StoredImage, dict[str, Any]] | LeftOut]:
    """In a worker: read, check and encode. A sample is its image and what is stored beside it."""
    return [entry if isinstance(entry, LeftOut) else _read(entry, size, decoding) for entry in entries]


def _read(entry: Entry, size: int | None, decoding: str) -> tuple[StoredImage, dict[str, Any]] | LeftOut:
    try:
        raw = entry.read()
        image = read_image(raw.data, size, raw.digest, decoding)
    except Unusable as reason:
        return LeftOut(entry.path, str(reason))
    about = {"class": raw.class_name, "captions": raw.captions, "path": entry.path, "pixels": image.digest}
    kinds = {} if raw.caption_kinds is None else {"caption_kinds": raw.caption_kinds}
    return image, about | kinds


def resumed(
    work: Callable[[Any], list[Any]], jobs: Iterable[Any], run: Run, notes: Path, tick: Tick
) -> Iterator[list[Any]]:
    """``run(work, jobs)`` whose results, lists of plain values, are kept in ``notes`` and not sought again."""
    notes.parent.mkdir(exist_ok=True)
    lines = notes.read_text(encoding="utf-8").splitlines(keepends=True) if notes.is_file() else []
    known = [json.loads(line) for line in lines if line.endswith("\n")]
    with notes.open("w", encoding="utf-8") as file:
        for result in chain(known, run(work, islice(jobs, len(known), None))):
            file.write(json.dumps(result) + "\n")
            tick(len(result))
            yield result


def shown(left_out: Iterable[LeftOut]) -> str:
    """How many are left out for which reason, as a line."""
    counts = Counter(item.reason for item in left_out)
    return ", ".join(f"{count} × {reason}" for reason, count in counts.items()) or "it is empty"


def listed(entries: list[Listed], run: Run) -> list[Listed]:
    """Entries that are known already; ``run`` is not needed, which :class:`ImportPlan` hands over."""
    return entries


def _finish(plan: ImportPlan, splits: Mapping[str, SplitWriter], folder: Path) -> DatasetCard:
    """Write the indices, the list of what was left out and, last, the card."""
    left_out = [*plan.left_out, *(item for writer in splits.values() for item in writer.left_out)]
    num_samples = {split: writer.num_samples for split, writer in splits.items()}
    if not sum(num_samples.values()):
        raise FomoError(f"no usable image for '{plan.card.name}': {shown(left_out)}.")
    used = {name for writer in splits.values() for name in writer.class_names}
    left_out += [LeftOut(name, NO_IMAGE) for name in plan.card.classes if name not in used]
    for writer in splits.values():
        writer.write_index(plan.card.classes)
    if left_out:
        lines = "".join(json.dumps(item._asdict()) + "\n" for item in left_out)
        (folder / LEFT_OUT_FILE).write_text(lines, encoding="utf-8")
    counts = Counter(item.reason for item in left_out) + Counter(plan.counts)
    card = replace(plan.card, num_samples=num_samples, counts=dict(sorted(counts.items())))
    card = replace(card, caption_kinds=_caption_kinds(splits), hashes=_hashes(splits, folder))
    write_card(folder, card)
    for path in (folder / "records", folder / NOTES):
        shutil.rmtree(path, ignore_errors=True)
    (folder / "fingerprint").unlink()
    return card


def _caption_kinds(splits: Mapping[str, SplitWriter]) -> tuple[str, ...]:
    return tuple(kind for kind in CAPTION_KINDS if any(kind in writer.caption_kinds for writer in splits.values()))


def _hashes(splits: Mapping[str, SplitWriter], folder: Path) -> dict[str, str]:
    """Of the shards as they were when they were finished, and of the other files."""
    shards = {name: digest for writer in splits.values() for name, digest in writer.hashes.items()}
    others = [*folder.glob("index-*.npz"), *folder.glob(LEFT_OUT_FILE)]
    return dict(sorted((shards | {path.name: file_digest(path) for path in others}).items()))
