"""Reading ``events.jsonl``, which :mod:`fomo.results.record` writes: a line for every step, evaluation and hook."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import EVENTS
from fomo.system.reading import Unreadable, parse_json, read_text

EVENT_BYTES = 2**30
Event = dict[str, Any]


def read_events(run: Path) -> Iterator[Event]:
    """The events of a run folder, as far as their lines are whole: of a run that goes on, the last may be half written.

    Raises:
        FomoError: there is no such file, or a line of it is no event.
    """
    path = run / EVENTS
    for number, line in enumerate(read_text(path, EVENT_BYTES).split("\n")[:-1], start=1):
        try:
            event = parse_json(line)
        except Unreadable as error:
            raise FomoError(f"{path}, line {number}: {error}.") from None
        if not isinstance(event, dict):
            raise FomoError(f"{path}, line {number}: no event of a run.")
        yield event
