"""What ``fomo score --bootstrap`` shows: intervals over test samples of runs that kept which were right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fomo.errors import FomoError
from fomo.report.summary import FINISHED, ScoredRun
from fomo.results.bootstrap import REPEATS, SampleInterval, Scored, differences, intervals
from fomo.results.samples import read_samples

TITLE = (
    f"Over test samples, not seeds: 95 % percentile intervals of the bootstrap ({REPEATS:,} draws, each dataset for "
    "itself). Δ: against the first run, on the same samples; ≠: the interval leaves out 0."
)
NAMES = ("ka", "zs", "gm")


@dataclass(frozen=True)
class Uncertain:
    """A run's intervals over test samples by metric; ``against_first`` is that of another run, ``None``: there is none.

    ``problem`` says why there are no intervals, or no comparison; else it is empty.
    """

    intervals: Mapping[str, SampleInterval] | None
    against_first: Mapping[str, SampleInterval] | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        own = {name: each._asdict() for name, each in (self.intervals or {}).items()}
        compared = {
            name: each._asdict() | {"differs": each.differs} for name, each in (self.against_first or {}).items()
        }
        return {"intervals": own or None, "against_first": compared or None, "problem": self.problem}


def uncertainties(runs: Sequence[ScoredRun]) -> list[Uncertain]:
    """Of each run of a group that may be compared; the first with samples is that which others are compared with."""
    found = []
    first: Scored | None = None
    for run in runs:
        scored, uncertain = _of(run)
        if scored and first:
            uncertain = _against(first, scored, uncertain)
        first = first or scored
        found.append(uncertain)
    return found


def _of(run: ScoredRun) -> tuple[Scored | None, Uncertain]:
    if run.scores is None or run.status != FINISHED:
        return None, Uncertain(None, problem=run.problem or run.status)
    try:
        scored = Scored(run.scores, read_samples(run.folder))
        return scored, Uncertain(intervals(scored))
    except FomoError as error:
        return None, Uncertain(None, problem=str(error))


def _against(first: Scored, scored: Scored, uncertain: Uncertain) -> Uncertain:
    try:
        return Uncertain(uncertain.intervals, differences(scored, first))
    except FomoError as error:
        return Uncertain(uncertain.intervals, problem=str(error))


def rows(runs: Sequence[ScoredRun], found: Sequence[Uncertain]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and cells of a table, a row for each run that has intervals."""
    heads = ("run", "KA", "ZS", "GM", "ΔKA", "ΔZS", "ΔGM")
    cells = [(run.name, *_cells(of)) for run, of in zip(runs, found, strict=True) if of.intervals]
    return heads, cells


def _cells(of: Uncertain) -> list[str]:
    own = [f"{each.value:.2f} [{each.low:.2f}, {each.high:.2f}]" for each in (of.intervals or {}).values()]
    if of.against_first is None:
        return [*own, *["–"] * len(NAMES)]
    compared = of.against_first.values()
    shown = [
        f"{each.value:+.2f} [{each.low:+.2f}, {each.high:+.2f}]{' ≠' if each.differs else ''}" for each in compared
    ]
    return [*own, *shown]
