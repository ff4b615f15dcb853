"""Is a stream sound? Every concept has training samples, and nothing held out is ever trained on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fomo.data.card import DatasetCard
from fomo.data.inspect.duplicates import Signature, near_duplicates, signatures
from fomo.data.joined import Joined
from fomo.data.samples import Dataset, Samples
from fomo.data.scanned_tar import ScannedTar
from fomo.data.sequential import Shards
from fomo.data.shards import ShardSamples
from fomo.errors import FomoError
from fomo.evaluation.prompts import Alike, is_reference
from fomo.stream.definition import Concept
from fomo.system.workers import Run, batched, num_cores, runner
from streams.opening import available, open_all, untrained
from streams.plan import Plan

FAULTS = {
    "absent dataset": "datasets that are not there",
    "absent class": "concepts that their dataset does not declare",
    "no training sample": "concepts without a training sample",
    "both": "datasets that are adapted to and held out",
    "no held-out dataset": "streams that hold nothing out",
    "alike classes": "classes whose prompts the model reads as the same",
    "unreadable picture": "pictures that cannot be read",
    "exact duplicate": "held-out pictures that are trained on, pixel for pixel",
    "near duplicate": "held-out pictures that are trained on, nearly the same",
}
NOTES = {
    "left out": "classes without a training sample, left out of the stream",
    "alike, as published": "classes of the reference whose prompts the model reads as the same",
    "no pool": "streams without a pretraining pool",
    "skipped": "pictures of the pool that cannot be read, which training steps over",
    "plain": "pictures too plain for a perceptual hash",
}
HELD_OUT_SPLITS = ("validation", "test")
CHUNK, AT_ONCE = 1024, 200_000
IN_PROCESS = 40_000
"""Up to so many pictures, starting worker processes takes longer than it saves."""
Progress = Callable[[int, int], None]
"""``progress(done, total)`` in pictures."""


@dataclass(frozen=True)
class Report:
    """``findings`` by kind, one of :data:`FAULTS` and :data:`NOTES`; ``num_pictures`` were compared."""

    num_concepts: int
    num_pictures: Mapping[str, int]
    radius: int | None
    findings: Mapping[str, Sequence[str]]

    @property
    def faults(self) -> dict[str, Sequence[str]]:
        """What makes the stream unsound."""
        return {kind: found for kind, found in self.findings.items() if kind in FAULTS}

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        pictures = dict(self.num_pictures)
        about = {"schema": "fomo.stream_report/1", "sound": not self.faults, "num_concepts": self.num_concepts}
        return about | {"num_pictures": pictures, "radius": self.radius, "findings": dict(self.findings)}


class Part(NamedTuple):
    """Rows of a split, with a name for reports."""

    name: str
    samples: Samples
    rows: np.ndarray


class Job(NamedTuple):
    """A piece of work for a worker: some rows of a part."""

    name: str
    samples: Samples
    rows: np.ndarray
    perceptual: bool


@lru_cache(maxsize=64)
def _same(samples: Any) -> Any:
    """The first of equal samples: a worker is sent a copy with each job, and opens files and indexes once."""
    return samples


def _signatures_of(job: Job) -> list[Signature | str]:
    samples: Any = job.samples
    return signatures(_same(samples), job.rows, job.perceptual)


def verify(
    plan: Plan,
    radius: int | None = None,
    progress: Progress = lambda done, total: None,
    alike: Callable[[DatasetCard], Sequence[Alike]] = lambda card: (),
) -> Report:
    """Look at every concept and every picture.

    Args:
        plan: what the stream is to hold.
        radius: bits of the perceptual hash that may differ; ``None`` compares pixels alone.
        progress: is told how many pictures were compared.
        alike: the classes of a dataset that the model of a run cannot tell apart.
    """
    findings: dict[str, list[str]] = {"left out": [str(concept) for concept in plan.left_out]}
    known = available(plan.root)
    named = () if plan.pool is None else tuple(name for name in plan.pool if not name.endswith(".tar"))
    wanted = (*plan.adaptation, *plan.retention, *named)
    absent = [name for name in wanted if name not in known]
    findings["absent dataset"] = absent
    findings["both"] = sorted(set(plan.adaptation) & set(plan.retention))
    findings["no held-out dataset"] = [] if plan.retention else ["no dataset is held out: nothing to keep"]
    adapted = open_all((name for name in plan.adaptation if name not in absent), plan.root)
    held_out = open_all((name for name in plan.retention if name not in absent), plan.root)
    here = _check_classes(plan.concepts, adapted, findings)
    findings |= _alike([dataset.card for dataset in (*adapted.values(), *held_out.values())], alike)
    trained = list(_trained(here, adapted))
    pool = None if set(named) & set(absent) else plan.open_pool()
    findings["no pool"] = ["there is none: mixture.pretraining has to be 0"] if pool is None else []
    if pool is not None:
        trained += _pool_parts(pool)
    kept = list(_held_out(held_out))
    opened = [p for p in (*kept, *trained) if radius is not None or not isinstance(p.samples, ShardSamples)]
    counts = {"held out": _num_rows(kept), "trained on": _num_rows(trained)}
    with runner(num_cores() if _num_rows(opened) > IN_PROCESS else 1) as run:
        _Comparison(radius, findings, progress, sum(counts.values()), run).compare(kept, trained)
    return Report(len(plan.concepts), counts, radius, {kind: found for kind, found in findings.items() if found})


def _alike(cards: Sequence[DatasetCard], alike: Callable[[DatasetCard], Sequence[Alike]]) -> dict[str, list[str]]:
    """Groups of classes that are one to the model: a fault, but in the reference's own datasets."""
    found = [(is_reference(card), str(each)) for card in cards for each in alike(card)]
    kinds = {"alike classes": False, "alike, as published": True}
    return {kind: [text for published, text in found if published is wanted] for kind, wanted in kinds.items()}


def _num_rows(parts: Sequence[Part]) -> int:
    return sum(len(part.rows) for part in parts)


def _check_classes(
    concepts: Sequence[Concept], adapted: Mapping[str, Dataset], findings: dict[str, list[str]]
) -> list[Concept]:
    """The concepts whose class is declared."""
    classes = {name: set(dataset.card.classes) for name, dataset in adapted.items()}
    strangers = [c for c in concepts if c.dataset in adapted and c.name not in classes[c.dataset]]
    here = [c for c in concepts if c.dataset in adapted and c.name in classes[c.dataset]]
    findings["absent class"] = [str(concept) for concept in strangers]
    findings["no training sample"] = [str(concept) for concept in untrained(here, adapted)]
    return here


def _trained(concepts: Sequence[Concept], adapted: Mapping[str, Dataset]) -> Iterator[Part]:
    """The training samples of the stream's concepts."""
    for name, dataset in adapted.items():
        used = {concept.name for concept in concepts if concept.dataset == name}
        if used and dataset.card.num_samples.get("train"):
            samples = dataset.split("train")
            mask = np.array([label in used for label in dataset.card.classes])
            targets = samples.targets
            yield Part(f"{name} train", samples, np.flatnonzero((targets >= 0) & mask[targets]))


def _pool_parts(pool: Samples | Shards) -> list[Part]:
    if isinstance(pool, Joined):
        return [Part(f"the pool, part {number}", p.samples, np.asarray(p.rows)) for number, p in enumerate(pool.parts)]
    if not isinstance(pool, Shards):
        return [Part("the pool", pool, np.arange(len(pool)))]
    tars = [ScannedTar(path) for path in pool.paths]
    return [Part(f"the pool, {tar.path.name}", tar, np.arange(len(tar))) for tar in tars]


def _held_out(datasets: Mapping[str, Dataset]) -> Iterator[Part]:
    for name, dataset in datasets.items():
        for split in HELD_OUT_SPLITS:
            if dataset.card.num_samples.get(split):
                samples = dataset.split(split)
                yield Part(f"{name} {split}", samples, np.arange(len(samples)))


class _Comparison:
    """Held-out pictures in memory as hashes, the others passing by."""

    def __init__(
        self, radius: int | None, findings: dict[str, list[str]], progress: Progress, total: int, run: Run
    ) -> None:
        self._radius, self._findings, self._run, self._progress = radius, findings, run, progress
        self._total, self._done, self._num_plain = total, 0, 0
        self._findings["unreadable picture"], self._findings["skipped"] = [], []

    def compare(self, kept: Sequence[Part], trained: Sequence[Part]) -> None:
        """Fill in the findings of kinds "… duplicate", "unreadable picture" and "plain"."""
        exact: dict[int, str] = {}
        near: list[tuple[str, Signature]] = []
        for place, signature in self._signatures(kept):
            exact.setdefault(signature.pixels, place)
            if signature.perceptual is not None:
                near.append((place, signature))
        self._findings["exact duplicate"], self._findings["near duplicate"] = [], []
        for some in batched(self._signatures(trained), AT_ONCE):
            others = [(place, signature) for place, signature in some if signature.pixels not in exact]
            copies = [f"{exact[s.pixels]} is {place}" for place, s in some if s.pixels in exact]
            self._findings["exact duplicate"] += copies
            if self._radius is not None:
                self._findings["near duplicate"] += _near(near, others, self._radius)
        self._findings["plain"] = [f"{self._num_plain} pictures"] if self._num_plain else []

    def _signatures(self, parts: Sequence[Part]) -> Iterator[tuple[str, Signature]]:
        perceptual = self._radius is not None
        jobs = [Job(part.name, part.samples, rows, perceptual) for part in parts for rows in _cut(part.rows)]
        for job, found in zip(jobs, self._run(_signatures_of, jobs), strict=True):
            for row, signature in zip(job.rows, found, strict=True):
                if isinstance(signature, str):
                    skipped = isinstance(job.samples, ScannedTar)  # training steps over them
                    self._findings["skipped" if skipped else "unreadable picture"].append(signature)
                    continue
                self._num_plain += perceptual and signature.perceptual is None
                yield f"{job.name} {row}", signature
            self._done += len(job.rows)
            self._progress(self._done, self._total)


def _cut(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _near(kept: list[tuple[str, Signature]], others: list[tuple[str, Signature]], radius: int) -> list[str]:
    trained = [(place, signature) for place, signature in others if signature.perceptual is not None]
    if not kept or not trained:
        return []
    pairs = near_duplicates([one for _, one in kept], [one for _, one in trained], radius)
    return [f"{kept[i][0]} is nearly {trained[j][0]}" for i, j in pairs]


def refuse_unsound(report: Report) -> None:
    """End with an error if there is a fault."""
    if report.faults:
        shown = ", ".join(f"{len(found)} × {kind}" for kind, found in report.faults.items())
        raise FomoError(f"the stream is not sound: {shown}.")
