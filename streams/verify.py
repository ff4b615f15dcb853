"""Is a stream sound? Every concept has training samples, and nothing held out is ever trained on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fomo.data.card import DatasetCard
from fomo.data.inspect.remarks import remarks
from fomo.data.joined import Joined
from fomo.data.samples import Dataset, Samples
from fomo.data.scanned_tar import ScannedTar
from fomo.data.sequential import Shards
from fomo.data.shards import ShardSamples
from fomo.errors import FomoError
from fomo.evaluation.prompts import Alike, is_reference
from fomo.stream.definition import Concept
from fomo.stream.plan import StreamPlan
from fomo.system.workers import num_cores, runner
from streams.compared import ComparedRows, Comparison, Progress
from streams.opening import untrained

FAULTS = {
    "absent dataset": "datasets that are not there",
    "absent class": "concepts that their dataset does not declare",
    "no training sample": "concepts without a training sample",
    "both": "datasets that are adapted to and held out",
    "no held-out dataset": "streams that hold nothing out",
    "alike classes": "classes whose prompts the model reads as the same",
    "unreadable picture": "images that cannot be read",
    "exact duplicate": "held-out images that are trained on, pixel for pixel",
    "near duplicate": "held-out images that are trained on, nearly the same",
}
NOTES = {
    "left out": "classes without a training sample, left out of the stream",
    "alike, as published": "classes of the reference whose prompts the model reads as the same",
    "dataset": "datasets with something unusual as a whole",
    "tested": "test images of what is learned that another dataset or the pool trains on, pixel for pixel",
    "labels disagree": "images that stand under two classes of their dataset",
    "cut texts": "datasets whose prompts are longer than the model's context",
    "no pool": "streams without a pretraining pool",
    "skipped": "images of the pool that cannot be read, which training steps over",
    "plain": "images too plain for a perceptual hash",
}
HELD_OUT_SPLITS = ("validation", "test")
IN_PROCESS = 40_000
"""Up to so many images, starting worker processes takes longer than it saves."""


@dataclass(frozen=True)
class SoundnessReport:
    """What was found in a stream.

    Attributes:
        num_concepts: how many concepts the stream has.
        num_images: how many images were compared, of those held out and of those trained on.
        radius: bits of the perceptual hash that may differ; ``None``: pixels alone were compared.
        findings: lines for people, by kind, one of :data:`FAULTS` and :data:`NOTES`.
    """

    num_concepts: int
    num_images: Mapping[str, int]
    radius: int | None
    findings: Mapping[str, Sequence[str]]

    @property
    def faults(self) -> dict[str, Sequence[str]]:
        """What makes the stream unsound."""
        return {kind: found for kind, found in self.findings.items() if kind in FAULTS}

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "schema": "fomo.stream_report/1",
            "sound": not self.faults,
            "num_concepts": self.num_concepts,
            "num_pictures": dict(self.num_images),
            "radius": self.radius,
            "findings": dict(self.findings),
        }


def verify(
    plan: StreamPlan,
    radius: int | None = None,
    progress: Progress = lambda done, total: None,
    alike: Callable[[DatasetCard], Sequence[Alike]] = lambda card: (),
    num_cut: Callable[[DatasetCard], int] = lambda card: 0,
) -> SoundnessReport:
    """Look at every concept and every image of a stream.

    Args:
        plan: what the stream is to hold.
        radius: bits of the perceptual hash that may differ; ``None`` compares pixels alone.
        progress: is told how many images were compared.
        alike: the classes of a dataset that the model of a run cannot tell apart.
        num_cut: how many prompts of a dataset the context of that model cuts.
    """
    absent = plan.absent()
    adapted = plan.datasets(plan.adaptation)
    findings: dict[str, list[str]] = {
        "left out": [str(concept) for concept in plan.left_out],
        "absent dataset": absent,
        "both": sorted(set(plan.adaptation) & set(plan.retention)),
        "no held-out dataset": [] if plan.retention else ["no dataset is held out: nothing to keep"],
    }
    here = _check_classes(plan.concepts, adapted, findings)
    held_out = plan.datasets(plan.retention)
    cards = [dataset.card for dataset in (*adapted.values(), *held_out.values())]
    findings |= _alike(cards, alike)
    cut = {card.name: num_cut(card) for card in cards}
    findings["cut texts"] = [f"{name}: {count} prompts" for name, count in cut.items() if count]
    findings["dataset"] = [*_remarks(adapted, learned=True), *_remarks(held_out, learned=False)]
    pool = None if set(plan.pool_datasets) & set(absent) else plan.open_pool()
    findings["no pool"] = ["there is none: mixture.pretraining has to be 0"] if pool is None else []
    trained = [*_trained(here, adapted), *([] if pool is None else _pool_rows(pool))]
    kept = list(_held_out(held_out))
    opened = [p for p in (*kept, *trained) if radius is not None or not isinstance(p.samples, ShardSamples)]
    tested = [part for part in _held_out(adapted) for part in _in_shards(part)]
    counts = {"held out": _num_rows(kept), "trained on": _num_rows(trained)}
    with runner(num_cores() if _num_rows(opened) > IN_PROCESS else 1) as run:
        Comparison(radius, findings, progress, sum(counts.values()), run).compare(kept, trained, tested)
    return SoundnessReport(
        len(plan.concepts), counts, radius, {kind: found for kind, found in findings.items() if found}
    )


def _alike(cards: Sequence[DatasetCard], alike: Callable[[DatasetCard], Sequence[Alike]]) -> dict[str, list[str]]:
    """Groups of classes that are one to the model: a fault, but in the reference's own datasets."""
    found = [(is_reference(card), str(each)) for card in cards for each in alike(card)]
    return {
        "alike classes": [text for published, text in found if not published],
        "alike, as published": [text for published, text in found if published],
    }


def _remarks(datasets: Mapping[str, Dataset], learned: bool) -> Iterator[str]:
    """What is unusual about each dataset."""
    for name, dataset in datasets.items():
        yield from (f"{name}: {remark}" for remark in remarks(dataset, learned))


def _num_rows(compared: Iterable[ComparedRows]) -> int:
    return sum(len(each.rows) for each in compared)


def _check_classes(
    concepts: Sequence[Concept], adapted: Mapping[str, Dataset], findings: dict[str, list[str]]
) -> list[Concept]:
    """The concepts whose dataset is there and declares their class."""
    classes = {name: set(dataset.card.classes) for name, dataset in adapted.items()}
    of_present = [concept for concept in concepts if concept.dataset in adapted]
    here = [concept for concept in of_present if concept.name in classes[concept.dataset]]
    findings["absent class"] = [str(concept) for concept in of_present if concept.name not in classes[concept.dataset]]
    findings["no training sample"] = [str(concept) for concept in untrained(here, adapted)]
    return here


def _trained(concepts: Sequence[Concept], adapted: Mapping[str, Dataset]) -> Iterator[ComparedRows]:
    """The training samples of the stream's concepts."""
    for name, dataset in adapted.items():
        used = {concept.name for concept in concepts if concept.dataset == name}
        if used and dataset.card.num_samples.get("train"):
            samples = dataset.split("train")
            mask = np.array([label in used for label in dataset.card.classes])
            targets = samples.targets
            yield ComparedRows(f"{name} train", samples, np.flatnonzero((targets >= 0) & mask[targets]), labelled=True)


def _pool_rows(pool: Samples | Shards) -> list[ComparedRows]:
    """All samples of the pool, in the pieces that hold them."""
    if isinstance(pool, Joined):
        return [
            ComparedRows(f"the pool, part {number}", part.samples, np.asarray(part.rows))
            for number, part in enumerate(pool.parts)
        ]
    if not isinstance(pool, Shards):
        return [ComparedRows("the pool", pool, np.arange(len(pool)))]
    tars = map(ScannedTar, pool.paths)
    return [ComparedRows(f"the pool, {tar.path.name}", tar, np.arange(len(tar))) for tar in tars]


def _held_out(datasets: Mapping[str, Dataset]) -> Iterator[ComparedRows]:
    """The samples of datasets that are scored."""
    for name, dataset in datasets.items():
        for split in HELD_OUT_SPLITS:
            if dataset.card.num_samples.get(split):
                samples = dataset.split(split)
                yield ComparedRows(f"{name} {split}", samples, np.arange(len(samples)))


def _in_shards(compared: ComparedRows) -> Iterator[ComparedRows]:
    """The rows that lie in shards, whose hashes are known without decoding."""
    samples = compared.samples
    if isinstance(samples, ShardSamples):
        yield compared
    if isinstance(samples, Joined):
        for part in samples.parts:
            yield from _in_shards(compared._replace(samples=part.samples, rows=np.asarray(part.rows)))


def refuse_unsound(report: SoundnessReport) -> None:
    """End with an error if there is a fault."""
    if report.faults:
        shown = ", ".join(f"{len(found)} × {kind}" for kind, found in report.faults.items())
        raise FomoError(f"the stream is not sound: {shown}.")
