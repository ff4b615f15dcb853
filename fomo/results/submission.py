"""A submission: the result of one experiment, a run of each seed, in one small archive, called ``NAME.fomo.zip``.

In it lie ``submission.json``, which says the SHA-256 of every other file, and of each run the files of its result in a
folder ``seed-N``; with them, if they were asked for, its deployed weights. Whatever else an archive holds is refused.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from fomo.errors import FomoError
from fomo.results.config_file import read_config
from fomo.results.consistent import RESULT
from fomo.results.layout import CHECKPOINTS, CONFIG, NETWORK, WEIGHTS
from fomo.system.archives import MAX_BYTES, unpack, write_archive
from fomo.system.digest import digest, file_digest
from fomo.system.reading import MAX_BYTES as MAX_TEXT
from fomo.system.reading import read_json

SCHEMA = "fomo.submission/1"
MANIFEST = "submission.json"
SUFFIX = ".fomo.zip"
MAX_RUNS = 100
FORM = ("open_clip_config.json", "merges.txt.gz", "fomo_model.json", "tokenizer.json")
"""What may lie beside the weights: their architecture and preprocessing, and their tokenizer or its merges."""
DEPLOYED = (WEIGHTS.as_posix(), *((CHECKPOINTS / name).as_posix() for name in FORM))
MEMBER = re.compile(rf"(seed--?(?:0|[1-9]\d{{0,18}}))/({'|'.join(map(re.escape, (*RESULT, *DEPLOYED)))})")


def pack(runs: Sequence[Path], file: Path, with_weights: bool = False) -> None:
    """Write a submission of finished runs that were checked, one of each seed, as a whole.

    Raises:
        FomoError: they are too many, or one has no weights that could be packed.
    """
    if len(runs) > MAX_RUNS:
        raise FomoError(f"{len(runs)} runs: a submission has at most {MAX_RUNS}.")
    content: dict[str, bytes | Path] = {}
    for run in sorted(runs, key=lambda run: int(read_config(run)["seed"])):
        seed = f"seed-{read_config(run)['seed']}"
        content |= {f"{seed}/{name}": (run / name).read_bytes() for name in RESULT}
        content |= {f"{seed}/{name}": run / name for name in (_weights(run) if with_weights else ())}
        content[f"{seed}/{CONFIG}"] = _config(run)
    hashes = {name: file_digest(each) if isinstance(each, Path) else digest(each) for name, each in content.items()}
    about = {"schema": SCHEMA, "files": hashes}
    write_archive(file, {MANIFEST: (json.dumps(about, indent=1) + "\n").encode(), **content})


def _config(run: Path) -> bytes:
    """The configuration without places of files, which are nobody's business and change no result."""
    values = read_config(run)
    section = values.get("run")
    kept = {**values, "run": {**section, **dict.fromkeys(section)}} if isinstance(section, dict) else values
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True).encode()


def _weights(run: Path) -> list[str]:
    if (run / NETWORK).is_file():
        raise FomoError(f"{run}: its method deploys more than plain weights: submit it without --weights.")
    if not (run / WEIGHTS).is_file():
        raise FomoError(f"{run}: its {WEIGHTS} is gone: submit it without --weights, or run it again.")
    return [name for name in DEPLOYED if (run / name).is_file()]


@contextmanager
def opened(place: Path) -> Iterator[dict[str, Path]]:
    """The runs of a run folder or of a submission, whose files can be read during the block: folders by name.

    The name is what to call a run: its folder, or the submission and the folder in it.

    Raises:
        FomoError: it is no submission, or its files are not those that it lists.
    """
    if place.is_dir():
        yield {str(place): place}
        return
    with tempfile.TemporaryDirectory(prefix="fomo-submission-") as scratch:
        folder = Path(scratch)
        names = unpack(place, folder, _largest, 1 + MAX_RUNS * (len(RESULT) + len(DEPLOYED)))
        listed = _listed(place, folder, names)
        runs = sorted({name.partition("/")[0] for name in listed}, key=lambda name: int(name.partition("-")[2]))
        if not runs:
            raise FomoError(f"{place}: it holds no run.")
        yield {f"{place}/{name}": folder / name for name in runs}


def _largest(name: str) -> int | None:
    """How many bytes a member may have."""
    if name == MANIFEST:
        return MAX_TEXT
    known = MEMBER.fullmatch(name)
    return None if known is None else MAX_BYTES if known[2] == WEIGHTS.as_posix() else MAX_TEXT


def _listed(place: Path, folder: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """The hash of every file by name, found to be that of the file."""
    if MANIFEST not in names:
        raise FomoError(f"{place}: not a submission: it holds no {MANIFEST}. `fomo submit` makes one.")
    try:
        values = read_json(folder / MANIFEST)
    except FomoError as error:
        raise FomoError(str(error).replace(str(folder), str(place))) from None
    if not isinstance(values, dict) or values.get("schema") != SCHEMA or not isinstance(values.get("files"), dict):
        found = values.get("schema") if isinstance(values, dict) else None
        raise FomoError(f"{place}: not a submission of schema '{SCHEMA}': {MANIFEST} says {found!r:.60}.")
    listed: Mapping[str, Any] = values["files"]
    for name in sorted(listed.keys() ^ (set(names) - {MANIFEST})):
        where = "is listed and not there" if name in listed else "is not listed"
        raise FomoError(f"{place}: {name[:200]!a} {where} ({MANIFEST}).")
    for name, promised in listed.items():
        if file_digest(folder / name) != promised:
            raise FomoError(f"{place}: edited: {name} has another hash than {MANIFEST} says.")
    return listed


def check_seed(folder: Path, values: Mapping[str, Any]) -> None:
    """Refuse a run of a submission whose folder is named by another seed than its own.

    Raises:
        FomoError: both are named.
    """
    if folder.name != f"seed-{values['seed']}":
        raise FomoError(f"{folder}: it is of seed {values['seed']}, and its folder is called {folder.name}.")
