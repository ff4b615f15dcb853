"""The registry of metrics: what each is called, its unit, which way is better; ours, and those of installed packages.

A guest's metric is an entry point of the group ``fomo.metrics``: a pure function of a run's ``Scores`` that returns a
float, or a :class:`Metric` that says its unit too. It is named as its entry point is, and stands wherever ours do.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from fomo.errors import FomoError, check_choice
from fomo.results import metrics
from fomo.results.metrics import NotDefined
from fomo.results.scores import NotFinished, Scores
from fomo.system.text import first_line

GROUP = "fomo.metrics"
_log = logging.getLogger(__name__)


class GuestFailed(FomoError):
    """A metric of an installed package cannot be imported, raised, or returned no number."""


@dataclass(frozen=True)
class Metric:
    """A number of a finished run, and how to read it.

    ``more_is_better`` is ``None`` where nobody has said it. ``guest`` names the package of a metric that is not ours.
    """

    name: str
    function: Callable[[Scores], float]
    unit: str = ""
    more_is_better: bool | None = None
    about: str = ""
    guest: str = ""

    def of(self, scores: Scores) -> float:
        """Its value for a run.

        Raises:
            NotFinished: the run lacks an evaluation, or a score in one.
            NotDefined: the run has no such number.
            GuestFailed: a guest's function raised, or returned no finite number.
        """
        if not scores.finished:
            _ = scores.final
        try:
            value = self.function(scores)
        except (NotFinished, NotDefined):
            raise
        except Exception as error:
            if not self.guest:
                raise
            raise GuestFailed(f"{self}: {type(error).__name__}: {first_line(error)} ({scores.folder}).") from error
        return self._number(value, scores)

    def _number(self, value: Any, scores: Scores) -> float:
        try:
            number = math.nan if isinstance(value, (bool, str)) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
        if self.guest:
            raise GuestFailed(f"{self} returned {first_line(repr(value), 60)}, no finite number ({scores.folder}).")
        raise NotFinished(f"{scores.folder}: not finished: {self.name} is {value}.")

    def __str__(self) -> str:
        return f"metric '{self.name}'" + (f" of {self.guest}" if self.guest else "")


METRICS = (
    Metric("ka", metrics.ka, "%", True, "KA: mean over adaptation datasets after the last update"),
    Metric("zs", metrics.zs, "%", True, "ZS: mean over held-out datasets after the last update"),
    Metric("gm", metrics.gm, "%", True, "GM: geometric mean of KA and ZS"),
    Metric("ka_change", metrics.ka_change, "points", True, "KA against the base model"),
    Metric("zs_change", metrics.zs_change, "points", True, "ZS against the base model"),
    Metric("gm_change", metrics.gm_change, "points", True, "GM against the base model"),
    Metric("ka_area", metrics.ka_area, "%", True, "mean height of the KA path over updates"),
    Metric("zs_area", metrics.zs_area, "%", True, "mean height of the ZS path over updates"),
    Metric("backward_transfer", metrics.backward_transfer, "points", True, "what later updates did to a task"),
    Metric("forward_transfer", metrics.forward_transfer, "points", True, "what earlier updates did for a task"),
    Metric("forgetting", metrics.forgetting, "points", False, "how far each task fell from its best"),
    Metric("transfer", metrics.transfer, "%", True, "accuracy on tasks before their own update (MTIL)"),
    Metric("average", metrics.average, "%", True, "accuracy on all tasks, mean over updates (MTIL)"),
    Metric("last", metrics.last, "%", True, "accuracy on all tasks after the last update (MTIL)"),
    Metric("incremental", metrics.incremental, "%", True, "accuracy on concepts seen so far, mean over updates"),
    Metric("min_accuracy", metrics.min_accuracy, "%", True, "accuracy on earlier tasks at its worst (min-ACC)"),
    Metric("worst_case_accuracy", metrics.worst_case_accuracy, "%", True, "and on the last task at the end (WC-ACC)"),
    Metric("stability_gap", metrics.stability_gap, "points", False, "fall on earlier tasks within an update"),
)
OF_DOMAIN = "domain:"
"""``domain:NAME`` is a metric too: the mean over the datasets of the domain after the last update."""


def registry() -> dict[str, Metric | EntryPoint]:
    """Every metric by name, ours first; a guest's is its entry point, of which nothing is imported yet.

    Raises:
        FomoError: a guest has the name of another metric.
    """
    found: dict[str, Metric | EntryPoint] = {metric.name: metric for metric in METRICS}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        other = found.get(entry.name)
        if isinstance(other, Metric) or (other is not None and other.value != entry.value):
            taken = "built in" if isinstance(other, Metric) else f"that of {_package(other)} too"
            raise FomoError(
                f"metric '{entry.name}' of {_package(entry)}: the name is {taken}. Uninstall a package, or rename its "
                "entry point."
            )
        found[entry.name] = entry
    return found


def names_in(given: str | None) -> list[str]:
    """The names in a list with commas; none is none. ``all`` are all, but for a guest's that cannot be imported.

    That one is said, and left out; asked for by its name it is an error.
    """
    if given != "all":
        return [] if given is None else given.split(",")
    return [name for name in registry() if _can_be_had(name)]


def _can_be_had(name: str) -> bool:
    try:
        return bool(chosen([name]))
    except GuestFailed as error:
        _log.warning("%s It is left out.", error)
        return False


def chosen(names: Iterable[str] | None = None) -> list[Metric]:
    """The metrics of these names, or all, guests imported; ``domain:NAME`` is one of any domain.

    Raises:
        FomoError: a name is unknown, or taken twice.
        GuestFailed: a guest cannot be imported, or is no function.
    """
    known = registry()
    wanted = list(dict.fromkeys(known if names is None else names))
    for name in wanted:
        if not name.startswith(OF_DOMAIN):
            check_choice("metric", name, known, "`fomo score --help` says what each is.")
    return [_chosen(name, known) for name in wanted]


def _chosen(name: str, known: Mapping[str, Metric | EntryPoint]) -> Metric:
    found = known.get(name) or of_domain(name.removeprefix(OF_DOMAIN))
    return found if isinstance(found, Metric) else _loaded(found)


def of_domain(domain: str) -> Metric:
    """The mean over the datasets of a domain."""
    function = partial(metrics.in_domain, domain=domain)
    return Metric(f"{OF_DOMAIN}{domain}", function, "%", True, f"mean over the datasets of the domain '{domain}'")


def measured(scores: Scores, of: Iterable[Metric]) -> dict[str, float | FomoError]:
    """The value of each metric by name, or why there is none."""
    found: dict[str, float | FomoError] = {}
    for metric in of:
        try:
            found[metric.name] = metric.of(scores)
        except (NotFinished, NotDefined, GuestFailed) as error:
            found[metric.name] = error
    return found


def numbers(values: Mapping[str, float | FomoError]) -> dict[str, float | None]:
    """As JSON has them: ``None`` for what is no number."""
    return {name: None if isinstance(value, FomoError) else value for name, value in values.items()}


@cache
def _loaded(entry: EntryPoint) -> Metric:
    guest = _package(entry)
    try:
        found = entry.load()
    except Exception as error:  # whatever its module raises
        said = f"{type(error).__name__}: {first_line(error)}"
        raise GuestFailed(f"metric '{entry.name}' of {guest}: {entry.value} cannot be imported: {said}.") from error
    if isinstance(found, Metric):
        return replace(found, name=entry.name, guest=guest)
    if not callable(found):
        kind = type(found).__name__
        raise GuestFailed(f"metric '{entry.name}' of {guest}: {entry.value} is of type {kind}, not a function.")
    return Metric(entry.name, found, about=first_line(found.__doc__) if found.__doc__ else "", guest=guest)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"
