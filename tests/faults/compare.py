"""Which files of two finished runs differ, times and notes of a resume aside."""

import json
from pathlib import Path
from typing import Any

COMPARED = ("scores.json", "ledger.json", "stream.json", "checkpoint/final.safetensors")


def events(folder: Path) -> list[dict[str, Any]]:
    """The events of a run without their times; notes of a resume are left out."""
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines if line["event"] != "resume"]


def differences(one: Path, other: Path) -> list[str]:
    """Names of the files that differ, or that are in one folder alone."""
    missing = [
        name for name in (*COMPARED, "events.jsonl", "card.json") for f in (one, other) if not (f / name).exists()
    ]
    if missing:
        return missing
    differing = [name for name in COMPARED if (one / name).read_bytes() != (other / name).read_bytes()]
    return differing + (["events.jsonl"] if events(one) != events(other) else [])
