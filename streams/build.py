"""Plans a stream from names of datasets and of single concepts, or from a stream file: what `conf/stream` names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fomo.data.samples import Dataset
from fomo.errors import FomoError, check_choice
from fomo.stream.definition import Concept
from streams.opening import available, concepts_of, open_all, open_at, with_training
from streams.orderings import rule_of
from streams.plan import NamedPlan, empty_list
from streams.pocket import datasets as pocket
from streams.stream_files import read_concepts

POCKET_POOL_SIZE = 16_000
POOL_WINDOW = 10_000


def build_stream(
    name: str,
    adaptation: Sequence[str],
    retention: Sequence[str],
    pool_size: int,
    ordering: str,
    root: str,
    pool: Sequence[str] | None = None,
    chunks: str = "equal",
    pool_window: int = POOL_WINDOW,
    test_images: int | None = None,
) -> NamedPlan:
    """Plan a stream of named datasets. Finished runs hold and hash this function's name, so it keeps it.

    Args:
        name: the stream's name.
        adaptation: names of datasets, and of single concepts ``DATASET+++class``.
        retention: names of the held-out datasets.
        pool_size: samples of the pocket's pool; 0 for none.
        ordering: name of an ordering.
        root: the folder of imported datasets.
        pool: names of datasets, or patterns of tar files, instead of the pocket's pool.
        chunks: ``equal``, or ``dataset``: a task ends where the dataset changes.
        pool_window: samples that are shuffled together where tar files are read in sequence.
        test_images: of each dataset at most so many are scored; ``None``: all.

    Raises:
        FomoError: an unknown name, an empty list, a dataset without a training sample.
    """
    rule_of(ordering)  # refuses an unknown one
    for key, entries in (("adaptation", adaptation), ("retention", retention)):
        if not _names(key, entries):
            raise FomoError(empty_list(key))
    concepts, left_out = _adapted(adaptation, Path(root))
    open_all(retention, Path(root))
    return NamedPlan(
        name,
        concepts,
        tuple(retention),
        None if pool is None else _names("pool", pool),
        pool_size,
        pool_window,
        Path(root),
        ordering,
        chunks,
        left_out,
        test_images,
    )


def file_stream(
    name: str,
    path: str,
    root: str,
    retention: Sequence[str] | None = None,
    pool: Sequence[str] | None = None,
    pool_size: int | None = None,
    ordering: str = "given",
    chunks: str = "equal",
    pool_window: int = POOL_WINDOW,
    test_images: int | None = None,
) -> NamedPlan:
    """Plan a stream over a stream file's concepts. Finished runs hold and hash this function's name, so it keeps it.

    Args:
        name: the stream's name.
        path: the stream file.
        root: the folder of imported datasets.
        retention: names of the held-out datasets; ``None`` takes every dataset of that role that is there and that the
            file does not name: those below ``root``, and the pocket's where the file names pocket datasets.
        pool: names of datasets, or patterns of tar files, instead of the pocket's pool.
        pool_size: samples of the pocket's pool; ``None`` is the size of the pocket stream's where the file names pocket
            datasets alone, else 0.
        ordering: name of an ordering; ``given`` is the file's own.
        chunks: ``equal``, or ``dataset``: a task ends where the dataset changes.
        pool_window: samples that are shuffled together where tar files are read in sequence.
        test_images: of each dataset at most so many are scored; ``None``: all.

    Raises:
        FomoError: no stream file, an unknown ordering, values of another type.
    """
    rule_of(ordering)  # refuses an unknown one
    concepts = read_concepts(Path(path))
    named = {concept.dataset for concept in concepts}
    held_out = _held_out(named, Path(root)) if retention is None else _names("retention", retention)
    if pool_size is None:
        pool_size = POCKET_POOL_SIZE if named <= set(pocket.names()) else 0
    return NamedPlan(
        name,
        concepts,
        held_out,
        None if pool is None else _names("pool", pool),
        pool_size,
        pool_window,
        Path(root),
        ordering,
        chunks,
        test_images=test_images,
    )


def _names(key: str, entries: Sequence[str]) -> tuple[str, ...]:
    """The entries of ``stream.KEY``, a list of strings."""
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not all(isinstance(e, str) for e in entries):
        raise FomoError(
            f"stream.{key}={entries}: a list of names is expected: stream.{key}=[NAME], with quotes around a name "
            f"that reads as a number, true or null: 'stream.{key}=[\"123\"]'."
        )
    return tuple(entries)


def _held_out(named: set[str], root: Path) -> tuple[str, ...]:
    """Every dataset of the role retention that is there, but for those of a stream file that names ``named``."""
    with_pocket = bool(named & set(pocket.names()))
    known = {
        name: folder
        for name, folder in available(root).items()
        if folder is not None or (with_pocket and name in pocket.names())
    }
    roles = {name: open_at(name, folder).card.role for name, folder in known.items() if name not in named}
    return tuple(name for name, role in roles.items() if role == "retention")


def _adapted(adaptation: Sequence[str], root: Path) -> tuple[tuple[Concept, ...], tuple[Concept, ...]]:
    """The concepts that ``adaptation`` lists, and those of its datasets that have no training sample."""
    datasets = open_all((entry.split("+++")[0] for entry in adaptation), root)
    whole = {entry: with_training(datasets[entry]) for entry in adaptation if entry in datasets}
    bare = [name for name, concepts in whole.items() if not concepts]
    if bare:
        raise FomoError(f"stream.adaptation={list(adaptation)}: no class of '{bare[0]}' has a training sample.")
    listed = [concept for entry in dict.fromkeys(adaptation) for concept in _concepts(entry, datasets, whole)]
    used = {concept for concepts in whole.values() for concept in concepts}
    left_out = [concept for name in whole for concept in concepts_of(datasets[name]) if concept not in used]
    return tuple(listed), tuple(left_out)


def _concepts(entry: str, datasets: Mapping[str, Dataset], whole: Mapping[str, Sequence[Concept]]) -> Sequence[Concept]:
    """The concept that ``entry`` names, or all concepts in ``whole`` where it names a dataset."""
    if entry in whole:
        return whole[entry]
    concept = Concept.parse(entry)
    check_choice(f"class of dataset '{concept.dataset}'", concept.name, datasets[concept.dataset].card.classes)
    return [concept]
