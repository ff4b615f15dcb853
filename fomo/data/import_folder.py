"""``fomo data import folder``: a tree of class folders becomes shards.

A folder that directly holds pictures is a class, named by its path below the root (``animals/big_cats`` is
"animals big cats"). A picture's captions are the lines of the ``.txt`` beside it, else its class and the words of its
file name. Train, validation and test are told apart by the hash of the decoded pixels, so that a picture stays where
it is when others come or go, and equal pictures, however encoded, can never stand on two sides.
"""

import hashlib
import io
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from fomo.data.card import SPLITS, DatasetCard
from fomo.data.images import BadImage, decode, format_if_still
from fomo.data.shards import SplitWriter, write_card
from fomo.errors import FomoError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
MAX_BYTES = 2**30
KEPT = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
TEMPLATES = ("a picture of {}", "{}")
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1


@dataclass(frozen=True)
class Picture:
    """A usable picture: encoded as it will be stored."""

    path: Path
    digest: str
    extension: str
    data: bytes


def separated(text: str) -> str:
    """A file or folder name with spaces for its separators."""
    return " ".join(re.sub(r"[_\-.,+]+|(?<=[a-z])(?=[A-Z])", " ", text).split())


def words(text: str) -> str:
    """The words of a file name: a number in it is as a rule a counter, and goes."""
    return " ".join(word for word in separated(text).split() if not word.isdigit())


def captions_of(path: Path, root: Path, class_name: str) -> list[str]:
    """The lines of the sidecar text, if it lies in ``root``, else the class prompt and the words of the file name.

    Names alone rarely say the class that evaluation asks for; without any word the class prompt serves anyway.
    """
    sidecar = path.with_suffix(".txt")
    if sidecar.is_file() and sidecar.resolve().is_relative_to(root.resolve()):
        lines = sidecar.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        return [line.strip() for line in lines if line.strip()]
    name = words(path.stem)
    prompt = TEMPLATES[0].replace("{}", class_name)
    return [f"{prompt}, {name}"] if any(letter.isalpha() for letter in name) else []


def class_names(root: Path, folders: Iterable[Path]) -> dict[Path, str]:
    """A class name for each folder. Two folders of one name are refused."""
    names: dict[Path, str] = {}
    for folder in folders:
        parts = folder.relative_to(root).parts or (root.resolve().name,)
        name = " ".join(separated(part) or part for part in parts)
        twin = next((other for other, known in names.items() if known == name), None)
        if twin is not None:
            raise FomoError(f"folders '{twin}' and '{folder}' both give the class '{name}': rename one of them.")
        names[folder] = name
    return names


def find(root: Path) -> tuple[dict[Path, list[Path]], Counter[str]]:
    """Pictures by folder, in sorted order, and the count of files that are none or lead out of the root."""
    found: dict[Path, list[Path]] = {}
    skipped: Counter[str] = Counter()
    inside = root.resolve()
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        skipped["link to a folder"] += sum((Path(folder) / name).is_symlink() for name in subfolders)
        for name in sorted(files):
            path = Path(folder) / name
            if path.suffix.lower() not in EXTENSIONS:
                skipped["not a picture by name"] += path.suffix.lower() != ".txt"
            elif not path.resolve().is_relative_to(inside):
                skipped["link out of the folder"] += 1
            elif not path.is_file():
                skipped["not a file"] += 1
            else:
                found.setdefault(Path(folder), []).append(path)
    return found, +skipped


def read_picture(path: Path, size: int | None) -> Picture | str:
    """Decode, hash and encode one file, or say in a word why it is skipped."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return "too many bytes"
        data = path.read_bytes()
        if not data:
            return "empty file"
        image = decode(data)
    except BadImage as error:
        return f"{error} picture" if str(error) in ("broken", "empty") else str(error)
    except OSError:
        return "unreadable file"
    digest = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
    return Picture(path, digest, *_encoded(data, image, size))


def _encoded(data: bytes, image: Image.Image, size: int | None) -> tuple[str, bytes]:
    """The file as it is where it can stay, else a PNG whose shorter side is ``size`` at most."""
    kind = format_if_still(data)
    shrink = size is not None and min(image.size) > size
    if kind in KEPT and not shrink:
        return KEPT[kind], data
    if shrink and size is not None:
        factor = size / min(image.size)
        sides = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        image = image.resize(sides, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "png", buffer.getvalue()


def split_of(digest: str) -> str:
    """Train, validation or test, by the hash of the picture: 70 %, 10 %, 20 %."""
    place = int(digest[:8], 16) / 2**32
    if place < TEST_SHARE:
        return "test"
    return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"


def read_all(paths: list[Path], size: int | None) -> Iterator[Picture | str]:
    """:func:`read_picture` over all cores, results in the order of ``paths``."""
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(read_picture, size=size), paths, chunksize=16)


def import_folder(root: Path, name: str, out: Path, pictures: Iterable[Picture | str]) -> DatasetCard:
    """Write the dataset ``out/name`` from ``pictures``, read in the order of :func:`listing`; gives its card.

    Everything is written into a hidden folder beside the final one, which is renamed when it is whole.
    """
    scratch = out / f".{name}.partial-{os.getpid()}"
    scratch.mkdir(parents=True)
    try:
        card = _write(root, name, scratch, pictures)
        scratch.rename(out / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return card


def _write(root: Path, name: str, folder: Path, pictures: Iterable[Picture | str]) -> DatasetCard:
    folders, counts = find(root)
    names = class_names(root, folders)
    writers = {split: SplitWriter(folder, split) for split in SPLITS}
    used: set[str] = set()
    for picture in _distinct(pictures, counts):
        name_of_class = names[picture.path.parent]
        used.add(name_of_class)
        path = picture.path.relative_to(root).as_posix()
        about = {"class": name_of_class, "captions": captions_of(picture.path, root, name_of_class), "path": path}
        writers[split_of(picture.digest)].add(picture.digest[:32], picture.extension, picture.data, about)
    if not used:
        raise FomoError(f"no usable picture in '{root}': {shown(counts)}.")
    num_samples = {split: writer.close(sorted(used)) for split, writer in writers.items()}
    card = DatasetCard(
        name, tuple(sorted(used)), TEMPLATES, num_samples, source=root.resolve().name, counts=dict(counts)
    )
    write_card(folder, card)
    return card


def _distinct(pictures: Iterable[Picture | str], counts: Counter[str]) -> Iterator[Picture]:
    """The usable pictures, each once; the others are counted by reason."""
    seen: set[str] = set()
    for picture in pictures:
        if isinstance(picture, str):
            counts[picture] += 1
        elif picture.digest in seen:
            counts["exact duplicate"] += 1
        else:
            seen.add(picture.digest)
            yield picture


def listing(root: Path, name: str, out: Path, size: int | None) -> list[Path]:
    """The pictures to read, in order. Everything that can be refused before long work is refused here."""
    if not root.is_dir():
        raise FomoError(f"'{root}' is not a folder: give the folder that holds the class folders.")
    DatasetCard(name, ("any",), TEMPLATES, {})  # refuses a bad name
    if size is not None and size < 1:
        raise FomoError(f"--size {size}: allowed are 1 and above, the shorter side in pixels.")
    if (out / name).exists():
        raise FomoError(f"'{out / name}' exists: choose another --name or --out, or remove it.")
    if out.exists() and not out.is_dir():
        raise FomoError(f"--out '{out}' is a file: give a folder.")
    folders, counts = find(root)
    for class_name in class_names(root, folders).values():
        DatasetCard(name, (class_name,), TEMPLATES, {})
    paths = [path for folder in folders.values() for path in folder]
    if not paths:
        raise FomoError(f"no picture in '{root}': {shown(counts)}. Allowed: {', '.join(EXTENSIONS)}.")
    return paths


def shown(counts: Mapping[str, int]) -> str:
    """Counts by reason, as a line."""
    return ", ".join(f"{count} × {reason}" for reason, count in counts.items()) or "it is empty"
