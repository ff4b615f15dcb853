"""What others read of a run folder beside its scores: ledger, card, tasks. A run folder may be a stranger's."""

import os
import stat
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.system.checks import is_count, is_number, is_strings
from fomo.system.reading import read_json


def spent_key(unit: str) -> str:
    """What a ledger of this unit is charged in."""
    return "mafs" if unit == "total_mafs" else "flops"


def read_ledger(run: Path) -> dict[str, Any]:
    """The content of ``ledger.json``.

    Raises:
        FomoError: it is not there, or not the ledger of a run.
    """
    path = run / "ledger.json"
    values = read_json(path)
    if not _is_ledger(values):
        raise FomoError(f"{path}: not the ledger of a run.")
    return dict(values)


def _is_ledger(values: Any) -> bool:
    if not isinstance(values, dict) or not all(isinstance(values.get(key), dict) for key in _SECTIONS):
        return False
    unit, charged = values.get("unit"), values["charged"]
    return (
        isinstance(unit, str)
        and is_number(values.get("total"))
        and is_strings(values.get("marks"))
        and is_count(values["planned"].get("steps"))
        and is_count(charged.get("steps"))
        and is_number(charged.get(spent_key(unit)))
        and all(map(is_count, values["samples"].values()))
    )


_SECTIONS = ("planned", "charged", "samples")


def read_run_card(run: Path) -> dict[str, Any]:
    """The content of ``card.json``, which a finished run has.

    Raises:
        FomoError: it is not there, or not the card of a run.
    """
    path = run / "card.json"
    values = read_json(path)
    hashes = isinstance(values, dict) and all(isinstance(values.get(f"{k}_sha256"), str) for k in ("scores", "ledger"))
    if not hashes or not is_number(values.get("seconds")):
        raise FomoError(f"{path}: not the card of a run.")
    return dict(values)


def read_tasks(run: Path) -> list[list[str]]:
    """The concepts of every task.

    Raises:
        FomoError: ``stream.json`` is not there, or not the stream of a run.
    """
    path = run / "stream.json"
    values = read_json(path)
    tasks = values.get("tasks") if isinstance(values, dict) else None
    if not isinstance(tasks, list) or not all(map(is_strings, tasks)):
        raise FomoError(f"{path}: not the stream of a run.")
    return tasks


def refuse_odd_files(run: Path) -> None:
    """Refuse a run folder with a link or a device in it, before anything is written there: it may lead out of it."""
    for place, folders, files in os.walk(run):
        for path in (Path(place) / name for name in (*folders, *files)):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                raise FomoError(f"{path} is {kind}: a run writes into its own folder alone. Remove it.")
