"""What stands on the leaderboard: runs that may be ranked, and the entries that they make."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fomo.results.config_file import sha256_without_seed
from fomo.results.scores import Scores
from fomo.results.statistics import Comparison, Interval

MAIN = ("ka", "zs", "gm")
"""The metrics that every entry has."""


@dataclass(frozen=True)
class BoardEntry:
    """One method in one track: means over its seeds, and sample standard deviations (``None`` for one seed).

    ``track`` names what may be compared (:func:`fomo.report.tracks.track`, and the budget). Ranks count within it;
    equal GMs share one. ``folders`` name the runs behind the means, in the order of ``seeds``: a folder, or a
    submission and a folder in it. ``metrics`` are 95 % intervals over seeds, of :data:`MAIN` and of what else was asked
    for. ``on_front``: no entry of the track has as much of KA and ZS and more of one. ``against_next`` compares its GM
    with that of the next entry of the track, on common seeds; the last one has none.
    """

    label: str
    track: str
    rank: int
    seeds: tuple[int, ...]
    ka: float
    zs: float
    gm: float
    ka_deviation: float | None
    zs_deviation: float | None
    gm_deviation: float | None
    folders: tuple[str, ...]
    caveats: tuple[str, ...]
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    on_front: bool = False
    against_next: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        values = asdict(self)
        told = self.against_next and {**values["against_next"], "differs": self.against_next.differs}
        return values | {"marks": values.pop("caveats"), "against_next": told}


@dataclass(frozen=True)
class BoardRun:
    """A run that may be ranked: what to call it, its settings and scores, and what it is ranked and grouped by.

    ``budget`` is the compute that it was given, in words; ``code`` tells apart parts that are not ours; ``steps`` are
    those that it took, ``steps_of`` those of each task, ``num_samples`` the rows in their batches; ``compute`` are the
    card's rates, and ``processes`` have taken the steps together.
    """

    name: str
    seed: int
    values: Mapping[str, Any]
    scores: Scores
    budget: str
    track: str
    code: str
    steps: int
    steps_of: Mapping[int, int] = field(default_factory=dict)
    num_samples: int = 0
    compute: Mapping[str, Any] | None = None
    processes: int = 1

    @property
    def key(self) -> "Key":
        """Equal for the runs of one entry: track, settings without the seed, code."""
        return self.track, sha256_without_seed(self.values), self.code


@dataclass(frozen=True)
class Board:
    """Entries from best to worst; why other runs are not among them; what else there is to say, a line each.

    ``runs`` are those behind the entries, by the name that entries give them.
    """

    entries: tuple[BoardEntry, ...]
    refused: dict[str, str]
    notes: tuple[str, ...] = ()
    runs: Mapping[str, BoardRun] = field(default_factory=dict)


Key = tuple[str, str, str]
