"""The JSON files of the public FoMo-in-Flux reference: what is in a split, under which names and texts.

``NAME_train.json`` (or ``_train_mini``), ``NAME_test.json`` (or ``_val`` where there is no ``_test``):
``{relative path: {classname, target, default_caption, primer_caption, synthetic_caption, synthetic_merged_caption}}``,
each caption null, a text or a list of texts; ``NAME_classnames.json``, the classes in order. ``NAME_train_224.json``
describes resized copies. https://github.com/ExplainableML/fomo_in_flux
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fomo.data.card import distinct, is_class_name
from fomo.data.primers import recover_template
from fomo.data.samples import CAPTION_KINDS
from fomo.errors import FomoError, unknown
from fomo.system.reading import read_json

MAX_BYTES = 2**30
SPLIT_FILES = {"train": ("train", "train_mini"), "test": ("test", "val")}
SEVERAL = "class with several primer captions: the commonest is its prompt"
IN_BOTH = "in the training and in the test split: kept in both"
TWICE = "class name that stands twice: numbered"


@dataclass(frozen=True)
class Described:
    """A sample as the JSON describes it: its texts by kind, empty kinds left out."""

    path: str
    class_name: str | None
    texts: Mapping[str, list[str]]

    @property
    def training_texts(self) -> list[str]:
        """Default captions, else merged synthetic ones, else none: the class prompt serves."""
        return self.texts.get("default") or self.texts.get("synthetic_merged") or []


@dataclass(frozen=True)
class Info:
    """All that the files say of a dataset. Without any primer caption it is one for retrieval."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, list[Described]]
    template: str
    primers: Mapping[str, str]
    counts: Mapping[str, int]
    files: list[Path]

    @property
    def kind(self) -> str:
        """``classification`` or ``retrieval``."""
        primed = any("primer" in sample.texts for split in self.splits.values() for sample in split)
        return "classification" if primed else "retrieval"


def read_info(folder: Path, name: str, resized: int | None = None) -> Info:
    """The files of dataset ``name`` in ``folder``; with ``resized`` those of its copies of that many pixels."""
    if not folder.is_dir():
        raise FomoError(f"--info '{folder}' is not a folder: give the one that holds the JSON files of the reference.")
    files = _split_files(folder, name, f"_{resized}" if resized else "")
    raw = {split: _checked(path, _read(path)) for split, path in files.items()}
    class_file = folder / f"{name}_classnames.json"
    listed = _class_list(class_file) if class_file.is_file() else None
    classes = distinct(listed or ())
    splits = {
        split: [_described(files[split], path, about, listed, classes) for path, about in entries.items()]
        for split, entries in raw.items()
    }
    prompts, several = _prompts(splits)
    template, exceptions = recover_template(prompts)
    counts = {TWICE: len(set(classes) - set(listed or ())), SEVERAL: several, IN_BOTH: _num_in_both(splits)}
    counts = {reason: count for reason, count in counts.items() if count}
    paths = [*files.values(), *([class_file] if listed else [])]
    info = Info(name, classes, splits, template, exceptions, counts, paths)
    if info.kind == "classification" and listed is None:
        raise FomoError(f"'{class_file}' is missing: it names the classes in order.")
    return info


def _split_files(folder: Path, name: str, suffix: str) -> dict[str, Path]:
    found = {}
    for split, endings in SPLIT_FILES.items():
        paths = [folder / f"{name}_{ending}{suffix}.json" for ending in endings]
        there = [path for path in paths if path.is_file()]
        if there:
            found[split] = there[0]
    if not found:
        ends = [f"_{ending}{suffix}" for endings in SPLIT_FILES.values() for ending in endings]
        known = {path.stem.removesuffix(end) for end in ends for path in folder.glob(f"*{end}.json")}
        raise unknown(f"dataset in --info '{folder}'", name, known, f"Files are named {name}_train{suffix}.json.")
    return found


def _read(path: Path) -> Any:
    return read_json(path, MAX_BYTES, halves=True)  # they are in captions: shards store question marks


def _class_list(path: Path) -> list[str]:
    names = _read(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not names:
        raise FomoError(f"{path}: no list of class names.")
    bad = [name for name in names if not is_class_name(name)]
    if bad:
        raise FomoError(f"{path}: {bad[0]!a} cannot name a class: a name is one line without '+++'.")
    return names


def _checked(path: Path, entries: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(entries, dict) or not entries:
        raise FomoError(f"{path}: no mapping of paths to descriptions.")
    for name, about in entries.items():
        target = about.get("target") if isinstance(about, dict) else None
        if not isinstance(target, int) or isinstance(target, bool):
            raise FomoError(f"{path}: '{name}' has no integer 'target'.")
    return entries


def _described(
    file: Path, path: str, about: dict[str, Any], listed: list[str] | None, classes: tuple[str, ...]
) -> Described:
    texts = {kind: _texts(file, path, about.get(f"{kind}_caption")) for kind in CAPTION_KINDS}
    texts = {kind: found for kind, found in texts.items() if found}
    path = PurePosixPath(path).as_posix()
    target = about["target"]
    class_name = about.get("classname")
    if listed is None:
        return Described(path, None, texts)
    if not 0 <= target < len(listed):
        raise FomoError(f"{file}: '{path}': target {target} is not one of the {len(listed)} of its class names.")
    if class_name != listed[target]:
        raise FomoError(f"{file}: '{path}' is '{class_name}', but class {target} is '{listed[target]}'.")
    return Described(path, classes[target], texts)


def _texts(file: Path, path: str, value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FomoError(f"{file}: '{path}': a caption is a string, a list of strings or null, not {value!r}.")
    return [text for text in texts if text.strip()]


def _num_in_both(splits: Mapping[str, list[Described]]) -> int:
    paths = [{sample.path for sample in samples} for samples in splits.values()]
    return len(set.intersection(*paths)) if len(paths) > 1 else 0


def _prompts(splits: Mapping[str, list[Described]]) -> tuple[dict[str, str], int]:
    """The commonest primer caption of each class, and how many classes have several."""
    found: dict[str, Counter[str]] = {}
    for samples in splits.values():
        for sample in samples:
            if sample.class_name is not None:
                found.setdefault(sample.class_name, Counter()).update(sample.texts.get("primer", []))
    primed = {name: texts for name, texts in found.items() if texts}
    return {name: texts.most_common(1)[0][0] for name, texts in primed.items()}, sum(
        len(t) > 1 for t in primed.values()
    )
