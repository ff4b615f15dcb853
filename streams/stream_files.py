"""Stream files of the public reference: a JSON list of ``DATASET+++class name``, in the order of the stream."""

import json
from collections.abc import Sequence
from pathlib import Path

from fomo.errors import FomoError
from fomo.stream.definition import Concept, refuse_repeated
from fomo.system.reading import Unreadable, parse_json, read_bytes
from fomo.system.writing import write_text

SHAPE = 'A stream file is a JSON list: ["DATASET+++class name", …].'


def as_text(concepts: Sequence[Concept]) -> str:
    """The text of a stream file of ``concepts``, byte for byte as the reference writes it.

    Raises:
        FomoError: a name could not be read back.
    """
    for concept in concepts:
        if Concept.parse(str(concept)) != concept:
            raise FomoError(f"'{concept}' cannot be told apart from another concept in a stream file.")
    return json.dumps([str(concept) for concept in concepts], indent=4)


def write_concepts(path: Path, concepts: Sequence[Concept]) -> None:
    """Write a stream file as a whole.

    Raises:
        FomoError: there is a file already, or no folder; a name could not be read back.
    """
    text = as_text(concepts)
    check_new(path)
    write_text(path, text, shared=True)


def check_new(path: Path) -> None:
    """Refuse, before long work, to write a file that is there or whose folder is not."""
    if path.exists():
        raise FomoError(f"--out '{path}' exists: choose another name, or remove it.")
    if not path.parent.is_dir():
        raise FomoError(f"--out '{path}': the folder '{path.parent}' is not there.")


def read_concepts(path: Path) -> tuple[Concept, ...]:
    """The concepts of a stream file.

    Raises:
        FomoError: no such file, no JSON, another shape, an entry that is no concept, a concept twice.
    """
    try:
        content = parse_json(read_bytes(path))
    except Unreadable as error:
        raise FomoError(f"stream file '{path}': not JSON ({error}). {SHAPE}") from None
    except FomoError as error:
        raise FomoError(f"stream file {error}") from None
    if not isinstance(content, list) or not content:
        kind = "an empty list" if content == [] else f"of type {type(content).__name__}"
        raise FomoError(f"stream file '{path}': it is {kind}. {SHAPE}")
    for number, entry in enumerate(content):
        if not isinstance(entry, str):
            raise FomoError(f"stream file '{path}': entry {number} is of type {type(entry).__name__}. {SHAPE}")
    concepts = tuple(_parsed(path, number, entry) for number, entry in enumerate(content))
    refuse_repeated(concepts, f"stream file '{path}'")
    return concepts


def _parsed(path: Path, number: int, entry: str) -> Concept:
    try:
        return Concept.parse(entry)
    except FomoError as error:
        raise FomoError(f"stream file '{path}', entry {number}: {error}") from None
