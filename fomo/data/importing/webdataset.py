"""``fomo data import webdataset``: shards made elsewhere, in three layouts.

CLIP_benchmark's (https://github.com/LAION-AI/CLIP_benchmark): ``classnames.txt``, one class a line;
``zeroshot_classification_templates.txt`` with ``{c}`` for the class; ``SPLIT/nshards.txt`` and ``SPLIT/0.tar`` … with
``KEY.webp|jpg|png`` and ``KEY.cls``, the number of the class or its name; where ``dataset_type.txt`` says
``retrieval``, a ``KEY.txt`` with a caption a line instead. LAION's and DataComp's (img2dataset): tars of ``KEY.jpg``,
``KEY.txt``, ``KEY.json``, images with a text each, which become a pretraining pool. Ours, as an import wrote them. The
split may stand in the names of folders or of shards, or in the JSON of each sample.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from fomo.data.card import SPLITS, DatasetCard, is_class_name
from fomo.data.importing.class_names import check_told_apart
from fomo.data.importing.described import row_in, said_split, split_of
from fomo.data.importing.gathered import TEMPLATES
from fomo.data.importing.job import (
    CHUNK,
    NOTES,
    Entry,
    ImportPlan,
    ImportSource,
    Listed,
    RawSample,
    Tick,
    check_size,
    fingerprint,
    listed,
    resumed,
)
from fomo.data.importing.planning import GIVEN, HASH, IGNORE, STRATIFIED, splits_made
from fomo.data.importing.shard_layout import Layout, ShardSet, read_layout, said_class, text_of
from fomo.data.samples import CAPTION_KINDS
from fomo.data.sources import MAX_TEXT_BYTES, LeftOut, Unusable
from fomo.data.stored_images import read_image
from fomo.data.tar_samples import TEXTS, TarSample, tar_samples
from fomo.data.texts import json_captions, parsed, sample_texts
from fomo.errors import FomoError, check_choice
from fomo.system.workers import Run, batched

NUMBER = re.compile(r"[0-9]{1,9}")
WAYS = "`--splits ignore` goes by the names of shards and folders alone, `stratified` makes a new split of classes"
UNNAMED = "class that the list of classes does not name"
TWICE = "class name that stands twice in the list, without a number"


@dataclass(frozen=True)
class TarEntry:
    """A sample of a tar, to be understood as its layout says."""

    path: str
    sample: TarSample
    layout: Layout

    def read(self) -> RawSample:
        """The image, and what the other members say of it."""
        texts = {kind: w.read(MAX_TEXT_BYTES) for kind, w in self.sample.others.items() if kind in TEXTS}
        if self.layout.ours:
            return self._read_ours(texts.get("json", b""))
        class_name = self._class_name()
        captions = sample_texts(texts, by_line=self.layout.kind == "retrieval")
        if not captions and class_name is None:
            raise Unusable("no caption")
        return RawSample(self.sample.image.read(), class_name, captions)

    def _read_ours(self, data: bytes) -> RawSample:
        about = parsed(data)
        class_name = about.get("class")
        if class_name is not None and class_name not in self.layout.names:
            raise Unusable(UNNAMED)
        kinds = {kind: found for kind in CAPTION_KINDS if (found := json_captions(about, kind))}
        return RawSample(
            self.sample.image.read(), class_name, json_captions(about), kinds if "caption_kinds" in about else None
        )

    def _said(self) -> str:
        """The class as the sample says it: by its number where several have its name."""
        said = said_class(self.sample, is_listed=bool(self.layout.names))
        if said in self.layout.twice:
            said = text_of(self.sample.others, "cls")
            if not said or said in self.layout.twice:
                raise Unusable(TWICE)
        if not said:
            raise Unusable("no class")
        return said

    def _class_name(self) -> str | None:
        if self.layout.kind != "classification":
            return None
        names = self.layout.names
        said = self._said()
        if said in self.layout.by_id:
            return self.layout.by_id[said]
        if not names:
            return said
        if NUMBER.fullmatch(said) and not self.layout.by_id and int(said) < len(names):
            return names[int(said)]
        if said not in names:
            raise Unusable(UNNAMED)
        return said


def webdataset_source(
    root: Path, name: str, size: int | None = None, class_file: Path | None = None, splits: str = GIVEN
) -> ImportSource:
    """The shards in ``root``, of whichever layout.

    Args:
        root: the folder that holds them, or the folders of their splits.
        name: the dataset's name.
        size: the shorter side that images are shrunk to.
        class_file: names of the classes that the shards number.
        splits: :data:`GIVEN`; :data:`IGNORE`, which passes over what samples say; or how all samples are split anew.

    Raises:
        FomoError: there is no shard, or they cannot be understood.
    """
    if not root.is_dir():
        raise FomoError(f"'{root}' is not a folder: give the folder that holds the shards.")
    check_size(size)
    check_choice("value of --splits", splits, (GIVEN, STRATIFIED, HASH, IGNORE))
    found = read_layout(root, name, class_file)
    if splits in (STRATIFIED, HASH) and found.layout.kind != "classification":
        raise FomoError(f"--splits {splits}: the shards in '{root}' hold no classes whose samples could be split.")

    def plan(run: Run, folder: Path, tick: Tick) -> ImportPlan:
        shards = _counted(found, run)
        card = shards.card or _card_of_named(shards, name, run)
        by_split = {split: partial(_entries, paths, shards.layout) for split, paths in shards.tars.items()}
        if splits == GIVEN and shards.says_split:
            return _split_as_said(shards, card, run)
        if splits in (GIVEN, IGNORE):
            return ImportPlan(card, by_split, counts=shards.counts)
        whole = [each for entries in by_split.values() for each in entries(run)]
        look = partial(_look, decoding=card.decoding)
        looks = chain.from_iterable(resumed(look, batched(whole, CHUNK), run, folder / NOTES / "examined", tick))
        card = replace(card, source=f"{root.resolve().name}; split made here: {splits}")
        return ImportPlan(card, _split_anew(whole, list(map(tuple, looks)), splits), counts=shards.counts)

    about = found.card.to_json() if found.card is not None else found.origin
    tars = {split: [str(path) for path in paths] for split, paths in found.tars.items()}
    mark = fingerprint("webdataset", name, size, about, tars, splits, files=[*found.paths, *found.files])
    return ImportSource(name, mark, plan, size=size, remarks=found.remarks)


def _counted(shards: ShardSet, run: Run) -> ShardSet:
    """The shards as the numbers of their classes are meant, where classes are listed: from 0, unless they are names.

    Raises:
        FomoError: the numbers count from 1.
    """
    layout = shards.layout
    if layout.kind != "classification" or layout.ours or layout.by_id or not layout.names:
        return shards
    said = set(chain.from_iterable(run(partial(named_in, is_listed=True), shards.paths)))
    numbers = {each for each in said if NUMBER.fullmatch(each)}
    highest = max(map(int, numbers), default=0)
    if highest < len(layout.names):
        return shards
    if numbers <= set(layout.names):
        return replace(shards, layout=replace(layout, by_id={name: name for name in layout.names}))
    if highest == len(layout.names) and not any(int(number) == 0 for number in numbers):
        raise FomoError(
            f"the shards number their classes from 1 to {highest}, names in '{shards.files[0]}' count from 0: give "
            f"`--classes FILE` with a number and a name a line, `1 {layout.names[0]}` and so on."
        )
    return shards


def _split_as_said(shards: ShardSet, card: DatasetCard, run: Run) -> ImportPlan:
    """Every sample in the split that its JSON says, else that of its shard's name, else for training.

    Raises:
        FomoError: a sample says another split than its shard's name does, or what is none.
    """
    found: dict[str, list[Listed]] = {split: [] for split in SPLITS}
    num_silent = 0
    for of_shard, paths in shards.tars.items():
        for each, said in chain.from_iterable(run(partial(_scan_with_splits, layout=shards.layout), paths)):
            split = split_of(said, f"the JSON of '{each.path}' ({WAYS})") or of_shard
            if shards.is_named and split != of_shard:
                raise FomoError(
                    f"'{each.path}': its JSON says '{said}', its shard or folder the {of_shard} split: {WAYS}."
                )
            num_silent += isinstance(each, TarEntry) and not said
            found[split].append(each)
    if not shards.is_named:
        silent = f" ({num_silent} without one are trained on)" if num_silent else ""
        card = replace(card, source=f"{card.source}; split given by the JSON of samples{silent}")
    if card.kind == "pairs" and (found["validation"] or found["test"]):
        card = replace(card, kind="retrieval", role="unassigned")
    return ImportPlan(card, {split: partial(listed, each) for split, each in found.items()}, counts=shards.counts)


def _scan_with_splits(path: Path, layout: Layout) -> list[tuple[Listed, str]]:
    """In a worker: the samples of a tar, and what the JSON of each says of its split."""
    found = scan(path, layout)
    about = [each.sample.others.get("json") if isinstance(each, TarEntry) else None for each in found]
    return [(each, said_split(row_in(where))) for each, where in zip(found, about, strict=True)]


def _look(entries: list[Listed], decoding: str) -> list[list[str | None]]:
    """In a worker: class and digest of each sample; of one that cannot be used, which reading it says, neither."""
    return [[None, ""] if isinstance(each, LeftOut) else _class_and_digest(each, decoding) for each in entries]


def _class_and_digest(entry: Entry, decoding: str) -> list[str | None]:
    try:
        raw = entry.read()
        return [raw.class_name, read_image(raw.data, decoding=decoding).digest]
    except Unusable:
        return [None, ""]


def _split_anew(
    whole: list[Listed], looks: list[tuple[Any, ...]], rule: str
) -> dict[str, Callable[[Run], Iterable[Listed]]]:
    """Every sample in its new split; what cannot be used is counted with the training samples."""
    made = splits_made((look for look in looks if look[1]), rule)
    found: dict[str, list[Listed]] = {split: [] for split in SPLITS}
    for each, look in zip(whole, looks, strict=True):
        found[made.get(look, "train")].append(each)
    return {split: partial(listed, samples) for split, samples in found.items()}


def _card_of_named(shards: ShardSet, name: str, run: Run) -> DatasetCard:
    """The card of samples that name their classes, which all have to be asked."""
    classes = sorted(set(chain.from_iterable(run(named_in, shards.paths))))
    bad = [each for each in classes if not is_class_name(each)]
    if not classes or bad:
        raise FomoError(f"{bad[0]!a} in the shards is no class name." if bad else "no sample names its class.")
    check_told_apart({each: f"'{each}' in the shards" for each in classes})
    return DatasetCard(name, tuple(classes), TEMPLATES, {}, source=shards.origin)


def named_in(path: Path, is_listed: bool = False) -> list[str]:
    """The classes that the samples of a tar name, or number where they are listed."""
    return sorted({said for sample in tar_samples(path)[0] if (said := said_class(sample, is_listed))})


def _entries(tars: Sequence[Path], layout: Layout, run: Run) -> Iterator[Listed]:
    for found in run(partial(scan, layout=layout), tars):
        yield from found


def scan(path: Path, layout: Layout) -> list[Listed]:
    """The samples of a tar in order, from its headers alone."""
    samples, left_out = tar_samples(path)
    return [*(TarEntry(f"{path.parent.name}/{path.name}/{each.key}", each, layout) for each in samples), *left_out]
