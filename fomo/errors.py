"""Errors that a user can act on: the value, what is allowed, the nearest match, the way out."""

import difflib
import re
from collections.abc import Collection, Iterable


class FomoError(Exception):
    """A mistake in what the user asked for or gave. The command line shows its text alone and exits with 2."""


BY_PART = re.compile(r"after [\w.-]+ \(\w|of the part ")
"""How a message about something that is not finite names the part that made it so."""


class NotFinite(FomoError):
    """Something that is NaN or infinite, and where: in a step of a task, or beside its steps (``step=None``)."""

    def __init__(self, task: int, step: int | None, what: str) -> None:
        where = "" if step is None else f", step {step}"
        way_out = "Look at that part first" if BY_PART.search(what) else "Lower optimizer.lr, or see events.jsonl"
        way_out = "Look at what the parts write to in their hooks" if "whoever" in what else way_out
        super().__init__(f"task {task}{where}: {what}. {way_out}.")
        self.task = task
        self.step = step


class WorkerDied(FomoError):
    """What was under way is lost; what was finished is not."""


class WorkerHung(FomoError):
    """A worker does nothing any more; as a rule, a file cannot be read."""


class RankLost(FomoError):
    """Another process of the run has failed or gone; this one can do nothing more. ``told``: it says itself why."""

    def __init__(self, text: str, told: bool = False) -> None:
        super().__init__(text)
        self.told = told


class Stopped(BaseException):
    """The process was asked to stop, by a signal. What was saved, and where, is added on the way out.

    It comes anywhere, as ``KeyboardInterrupt`` does: no ``except Exception`` may take it for a damaged image.
    """

    def __init__(self, by: str, status: int, saved: str = "nothing more was to be saved") -> None:
        super().__init__(f"stopped by {by}: {saved}. The same command goes on.")
        self.by = by
        self.status = status


def close_to(value: str, allowed: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The allowed name that is closest, if one is close enough."""
    by_folded = {name.casefold(): name for name in allowed}
    match = difflib.get_close_matches(value.casefold(), list(by_folded), n=1, cutoff=cutoff)
    return by_folded[match[0]] if match else None


def nearest(value: str, allowed: Iterable[str]) -> str:
    """``Did you mean 'x'? `` for the closest allowed name, or nothing."""
    match = close_to(value, allowed)
    return f"Did you mean '{match}'? " if match else ""


def unknown(kind: str, value: object, allowed: Iterable[str], way_out: str = "") -> FomoError:
    """The error for a name that is not among ``allowed``; long lists are cut."""
    names = sorted(allowed)
    shown = ", ".join(names[:40]) + (f", … ({len(names)} in all)" if len(names) > 40 else "")
    return FomoError(
        f"unknown {kind} '{value}'. {nearest(str(value), names)}Allowed: {shown or 'none'}. {way_out}".strip()
    )


def check_keys(kind: str, keys: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse the first key that is not allowed."""
    names = set(allowed)
    for key in keys:
        check_choice(f"key of {kind}", key, names)


def check_choice(kind: str, value: object, allowed: Collection[str], way_out: str = "") -> None:
    """Refuse a name that is not among ``allowed``.

    Args:
        kind: what the name is of, as in "value of budget.rounding".
        value: the name.
        allowed: all names that there are.
        way_out: a sentence on what else to do.
    """
    if value not in allowed:
        raise unknown(kind, value, allowed, way_out)


def check_allowed(holds: bool, setting: str, allowed: str) -> None:
    """Refuse a ``setting``, written as the user writes it, whose condition does not hold; ``allowed`` says which."""
    if not holds:
        raise FomoError(f"{setting}: allowed are {allowed}.")
