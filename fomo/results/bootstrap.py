"""What the test samples leave open: the bootstrap over them (Efron & Tibshirani 1993), of a run and of two on the same.

KA and ZS are means over datasets, so that the samples of each dataset are drawn anew, with replacement, as many as it
has. Of images with the same outcome it does not matter which is drawn: how often each outcome is drawn is multinomial,
and is drawn at once, which is exact. In retrieval an image is drawn with its captions; what each found stays what it
was among all. Seeds are another matter: :mod:`fomo.results.statistics`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fomo.errors import FomoError
from fomo.results.samples import Hits, SampleFile, hits_of
from fomo.results.scores import Scores

REPEATS = 2000
SEED = 0
LIMITS = (2.5, 97.5)
"""Percentiles that hold 95 % between them."""
ROLES = {"ka": "adaptation", "zs": "retention"}
Drawn = dict[str, np.ndarray]
"""KA, ZS and GM in percent, of every repetition: float64 [repeats]."""


class SampleInterval(NamedTuple):
    """A value in percent or points, and its 95 % percentile interval over test samples."""

    value: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Of a difference: whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


class Scored(NamedTuple):
    """A run's scores, and what of them is kept sample by sample."""

    scores: Scores
    samples: SampleFile

    @property
    def hits(self) -> Mapping[str, Hits]:
        """Of the result, by dataset.

        Raises:
            NotFinished: the run is not finished, or its bits are not there.
            FomoError: they are not of these scores.
        """
        return hits_of(self.scores, self.samples, self.scores.ends[1])


def intervals(run: Scored, repeats: int = REPEATS) -> dict[str, SampleInterval]:
    """KA, ZS and GM of a run with their intervals.

    Raises:
        FomoError: as :attr:`Scored.hits`.
    """
    (drawn,) = _drawn([run.hits], run.scores, repeats)
    return {name: _interval(getattr(run.scores.final, name), drawn[name]) for name in drawn}


def differences(one: Scored, other: Scored, repeats: int = REPEATS) -> dict[str, SampleInterval]:
    """KA, ZS and GM of ``one`` minus those of ``other``, both drawn on the same samples.

    Raises:
        FomoError: as :attr:`Scored.hits`, or the two were not scored on the same samples.
    """
    hits = [one.hits, other.hits]
    about = [(each.samples.data_sha256, {name: len(of.image) for name, of in found.items()}) for each, found in
             zip((one, other), hits, strict=True)]  # fmt: skip
    if about[0] != about[1]:
        raise FomoError(f"{other.scores.folder} and {one.scores.folder} were not scored on the same samples.")
    here, there = _drawn(hits, one.scores, repeats)
    values = {name: getattr(one.scores.final, name) - getattr(other.scores.final, name) for name in here}
    return {name: _interval(value, here[name] - there[name]) for name, value in values.items()}


def _interval(value: float, drawn: np.ndarray) -> SampleInterval:
    low, high = np.percentile(drawn, LIMITS)
    return SampleInterval(value, float(low), float(high))


def _drawn(runs: Sequence[Mapping[str, Hits]], scores: Scores, repeats: int) -> list[Drawn]:
    """KA, ZS and GM of each of some runs in every repetition, whose samples are the same for all of them."""
    draw = np.random.default_rng(SEED)
    by_dataset = {name: _scores([run[name] for run in runs], draw, repeats) for name in scores.datasets}
    found = []
    for number in range(len(runs)):
        drawn = {}
        for metric, role in ROLES.items():
            names = [name for name, about in scores.datasets.items() if about.role == role]
            drawn[metric] = np.mean([by_dataset[name][number] for name in names], axis=0)
        found.append(drawn | {"gm": np.sqrt(drawn["ka"] * drawn["zs"])})
    return found


def _scores(runs: Sequence[Hits], draw: np.random.Generator, repeats: int) -> list[np.ndarray]:
    """The score of a dataset in percent, of each of some runs in every repetition: [repeats] each."""
    rows = np.concatenate([hits.rows for hits in runs], axis=1)
    outcomes, counts = np.unique(rows, axis=0, return_counts=True)
    sums = draw.multinomial(len(rows), counts / len(rows), repeats) @ outcomes
    return [_score(sums[:, 3 * number : 3 * number + 3], len(rows)) for number in range(len(runs))]


def _score(sums: np.ndarray, num_images: int) -> np.ndarray:
    """The score from how many images are right, how many captions are, and how many there are: [repeats, 3]."""
    images, right, captions = sums.T
    by_image = images / num_images
    return 50 * (by_image + right / captions) if captions.any() else 100 * by_image
