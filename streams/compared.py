"""Images that are trained on compared with those that are held out, and with one another, by hashes of their pixels."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from fomo.data.inspect.duplicates import Signature, near_duplicates, signatures
from fomo.data.samples import Samples
from fomo.data.scanned_tar import ScannedTar
from fomo.system.workers import Run, batched

CHUNK = 1024
AT_ONCE = 200_000
Progress = Callable[[int, int], None]
"""``progress(done, total)`` in images."""


class ComparedRows(NamedTuple):
    """Rows of a split or of a pool, with a ``name`` for reports."""

    name: str
    samples: Samples
    rows: np.ndarray
    labelled: bool = False
    """Whether the classes are those of one dataset."""


@lru_cache(maxsize=64)
def _same(samples: Any) -> Any:
    """The first of equal samples: a worker is sent a copy with each job, and opens files and indexes once."""
    return samples


def _signatures_of(compared: ComparedRows, perceptual: bool) -> list[Signature | str]:
    """The hashes of some rows, made by a worker."""
    samples: Any = compared.samples
    return signatures(_same(samples), compared.rows, perceptual)


def _hashed(compared: ComparedRows) -> Iterator[tuple[int, str]]:
    """The hash of the pixels of each row, as the index of its shards holds it, and where it is, for people."""
    samples: Any = compared.samples
    digests = samples.digests[compared.rows]
    yield from ((int(pixels), f"{compared.name} {row}") for pixels, row in zip(digests, compared.rows, strict=True))


class Labelled:
    """Hashes and classes of samples that are trained on, in a few bytes each."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._pixels = array("q")
        self._places = array("q")

    def add(self, compared: ComparedRows, row: int, signature: Signature) -> None:
        """Take in a sample; one without a class is passed over."""
        target = int(compared.samples.targets[row])
        if target >= 0:
            self._pixels.append(signature.pixels)
            self._places.extend((self._names.setdefault(compared.name, len(self._names)), target, row))

    def disagreements(self) -> Iterator[str]:
        """A line for each image that stands under two classes of one dataset."""
        pixels = np.frombuffer(self._pixels, dtype=np.int64)
        names, targets, rows = np.frombuffer(self._places, dtype=np.int64).reshape(-1, 3).T
        known = list(self._names)
        order = np.lexsort((rows, pixels, names))
        one, other = order[:-1], order[1:]
        same = (names[one] == names[other]) & (pixels[one] == pixels[other]) & (targets[one] != targets[other])
        for first, second in zip(one[same], other[same], strict=True):
            yield f"{known[names[first]]} {rows[first]} and {rows[second]} are one image in two classes"


class Comparison:
    """Compares images that are trained on with hashes of the held-out ones, which it keeps in memory.

    Args:
        radius: bits of the perceptual hash that may differ; ``None`` compares pixels alone.
        findings: where what is found is added.
        progress: called after each job.
        total: number of images.
        run: what the jobs are run by.
    """

    def __init__(
        self, radius: int | None, findings: dict[str, list[str]], progress: Progress, total: int, run: Run
    ) -> None:
        self._radius = radius
        self._findings = findings
        self._run = run
        self._progress = progress
        self._total = total
        self._done = 0
        self._num_plain = 0
        self._labelled = Labelled()
        self._findings |= {"unreadable picture": [], "skipped": [], "exact duplicate": [], "near duplicate": []}
        self._findings["tested"] = []

    def compare(
        self, kept: Sequence[ComparedRows], trained: Sequence[ComparedRows], tested: Sequence[ComparedRows]
    ) -> None:
        """Fill in the findings of kinds "… duplicate", "tested", "unreadable picture", "skipped" and "plain".

        Args:
            kept: what is held out.
            trained: what is trained on.
            tested: what is scored of the datasets to learn, whose own training samples may hold it.
        """
        scored = {pixels: where for each in tested for pixels, where in _hashed(each)}
        exact: dict[int, str] = {}
        near: list[tuple[str, Signature]] = []
        for where, signature in self._signatures(kept):
            exact.setdefault(signature.pixels, where)
            if signature.perceptual is not None:
                near.append((where, signature))
        for some in batched(self._signatures(trained), AT_ONCE):
            others = [(where, signature) for where, signature in some if signature.pixels not in exact]
            self._findings["exact duplicate"] += [
                f"{exact[signature.pixels]} is {where}" for where, signature in some if signature.pixels in exact
            ]
            pairs = ((scored[signature.pixels], where) for where, signature in some if signature.pixels in scored)
            self._findings["tested"] += [f"{one} is {other}" for one, other in pairs if not _is_of(one, other)]
            if self._radius is not None:
                self._findings["near duplicate"] += _near(near, others, self._radius)
        self._findings["labels disagree"] = list(self._labelled.disagreements())
        self._findings["plain"] = [f"{self._num_plain} images"] if self._num_plain else []

    def _signatures(self, compared: Sequence[ComparedRows]) -> Iterator[tuple[str, Signature]]:
        """Where each image is, for people, and its hashes; images that cannot be read become findings."""
        perceptual = self._radius is not None
        jobs = [
            each._replace(rows=each.rows[start : start + CHUNK])
            for each in compared
            for start in range(0, len(each.rows), CHUNK)
        ]
        hashed = self._run(partial(_signatures_of, perceptual=perceptual), jobs)
        for job, found in zip(jobs, hashed, strict=True):
            for row, signature in zip(job.rows, found, strict=True):
                if isinstance(signature, str):
                    skipped = isinstance(job.samples, ScannedTar)  # training steps over them
                    self._findings["skipped" if skipped else "unreadable picture"].append(signature)
                    continue
                if job.labelled:
                    self._labelled.add(job, int(row), signature)
                self._num_plain += perceptual and signature.perceptual is None
                yield f"{job.name} {row}", signature
            self._done += len(job.rows)
            self._progress(self._done, self._total)


def _is_of(one: str, other: str) -> bool:
    """Whether two places are of one dataset, of which :mod:`fomo.data.inspect.remarks` speaks."""
    return one.split(" ")[0] == other.split(" ")[0]


def _near(kept: list[tuple[str, Signature]], others: list[tuple[str, Signature]], radius: int) -> list[str]:
    """A line for every pair of a held-out image and one of ``others`` that are nearly the same."""
    trained = [(where, signature) for where, signature in others if signature.perceptual is not None]
    if not kept or not trained:
        return []
    pairs = near_duplicates([one for _, one in kept], [one for _, one in trained], radius)
    return [f"{kept[i][0]} is nearly {trained[j][0]}" for i, j in pairs]
