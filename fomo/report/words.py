"""Numbers in the words of a page."""

from datetime import datetime, timezone

FILTERS = ("percent", "signed", "duration", "number", "level", "share")
"""The functions here that templates know by name."""
NONE = "–"


def percent(value: float | None) -> str:
    """A score: ``63.2``."""
    return NONE if value is None else f"{value:.1f}"


def signed(value: float) -> str:
    """A change of a score, in points: ``+8.1``."""
    return f"{value:+.1f}"


def share(part: float | None) -> str:
    """A part of 1 in percent: ``0.412`` is ``41.2``."""
    return NONE if part is None else f"{100 * part:.1f}"


def level(value: float) -> str:
    """A number as a style has it, from 0 to 100."""
    return f"{min(max(value, 0.0), 100.0):.1f}"


def number(value: float | None) -> str:
    """A number with four digits: ``1,234``, ``0.001``."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def amount(value: float, digits: int = 5) -> str:
    """A number with so many significant digits, and all of those before the point: ``4,829.9``, ``172,280``."""
    return f"{value:,.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:,.{digits}g}"


def duration(seconds: float | None) -> str:
    """``2 h 5 min``, ``3 min 20 s``, ``4.2 s``."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(seconds: float) -> str:
    """A time since 1970 in UTC: ``2026-11-28 10:20:11 UTC``; empty where no calendar has it."""
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return ""
