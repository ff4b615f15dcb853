"""Which files of two finished runs differ, times and notes of a resume aside."""

import json
from pathlib import Path
from typing import Any

from fomo.results.layout import NETWORK, WEIGHTS
from fomo.system.digest import file_digest

COMPARED = ("scores.json", "ledger.json", "stream.json")


def events(folder: Path) -> list[dict[str, Any]]:
    """The events of a run without their times; notes of a resume are left out."""
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines if line["event"] != "resume"]


def differences(one: Path, other: Path) -> list[str]:
    """Names of the files that differ, or that are in one folder alone."""
    is_plain = (one / WEIGHTS).exists() or (other / WEIGHTS).exists()
    compared = (*COMPARED, str(WEIGHTS if is_plain else NETWORK))
    missing = [
        name for name in (*compared, "events.jsonl", "card.json") for f in (one, other) if not (f / name).exists()
    ]
    if missing:
        return missing
    differing = [name for name in compared if (one / name).read_bytes() != (other / name).read_bytes()]
    differing += ["events.jsonl"] if events(one) != events(other) else []
    return differing + (["left_out of card.json"] if left_out(one) != left_out(other) else [])


def different_files(one: Path, other: Path) -> list[str]:
    """Names of all files below two folders that differ, or that are in one of them alone; locks are no content."""
    here, there = _digests(one), _digests(other)
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))


def _digests(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("lock"))
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}


def left_out(folder: Path) -> Any:
    """What a run could not use; all else in its card is of times and machines."""
    return json.loads((folder / "card.json").read_text(encoding="utf-8"))["left_out"]
