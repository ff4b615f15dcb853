"""The hashes of all pixels as they were published, to which a preparation of one's own is compared.

    python -m streams.desktop.manifest ROOT

writes ``manifest.json`` from the datasets below ROOT, when a new version of the stream is published.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fomo.data.card import SPLITS, DatasetCard, read_card
from fomo.data.shards import ShardSamples
from fomo.errors import FomoError
from fomo.system.digest import digest
from fomo.system.reading import read_json
from fomo.system.writing import write_json
from streams.desktop.declared import load_sets
from streams.desktop.pictures import SIZE
from streams.desktop.splits import AFTER_RENDERING
from streams.desktop.svg import RESVG

FILE = Path(__file__).with_name("manifest.json")
SCHEMA = "fomo.desktop_manifest/1"
SHOWN = 12
"""Hexadecimal characters of a class's hash."""


@cache
def load_manifest(path: Path = FILE) -> dict[str, Any]:
    """What was published, by the dataset's name."""
    values = read_json(path)
    if values.get("schema") != SCHEMA:
        raise FomoError(f"{path}: schema is {values.get('schema')!r}, expected '{SCHEMA}'")
    return dict(values["datasets"])


def described(folder: Path) -> dict[str, Any]:
    """The counts and hashes of a dataset's images, read from its index: no image is opened."""
    card = read_card(folder / "dataset.json")
    parts = {split: ShardSamples(folder, split, card.decoding) for split in SPLITS if card.num_samples.get(split)}
    hashes = {split: part.digests.astype("<i8") for split, part in parts.items()}
    targets = {split: part.targets for split, part in parts.items()}
    splits = {split: {"images": len(each), "pixels": digest(each.tobytes())} for split, each in hashes.items()}
    classes = {
        name: digest(b"".join(hashes[split][targets[split] == number].tobytes() for split in parts))[:SHOWN]
        for number, name in enumerate(card.classes)
    }
    return {"usable": usable(card), "splits": splits, "classes": classes}


def usable(card: DatasetCard) -> int:
    """Pictures that were rendered, those that were left out afterwards included."""
    return sum(card.num_samples.values()) + sum(card.counts.get(reason, 0) for reason in AFTER_RENDERING)


def differences(folder: Path, published: Mapping[str, Any] | None = None) -> Iterator[str]:
    """In words, how a dataset differs from the published one of its name; nothing where none was published.

    Args:
        folder: the dataset.
        published: the manifest's datasets; ``None``: those that ship.
    """
    known = load_manifest() if published is None else published
    if folder.absolute().name not in known:
        return
    wanted = known[folder.absolute().name]
    found = described(folder)
    for split in SPLITS:
        count = wanted["splits"].get(split, {}).get("images", 0)
        have = found["splits"].get(split, {}).get("images", 0)
        if have != count:
            yield f"{split}: {have} images, published are {count}"
    changed = [name for name in wanted["classes"] if found["classes"].get(name) != wanted["classes"][name]]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        yield f"other pixels than the published ones in {len(changed)} classes: {', '.join(changed[:5])}{more}"
    elif found["splits"] != wanted["splits"]:
        yield "other pixels than the published ones"


def write_manifest(root: Path, path: Path = FILE) -> None:
    """Write the manifest of the datasets below ``root``, all of which have to be there."""
    datasets = {name: described(root / name) for name in load_sets()}
    write_json(path, {"schema": SCHEMA, "resvg": RESVG, "pixels": SIZE, "datasets": datasets})


if __name__ == "__main__":
    write_manifest(Path(sys.argv[1]))
