"""Made-up runs of any size for the tests of pages."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from docs.tables import DEFAULTS
from fomo.system.digest import file_digest
from tests.fomo.helpers import encoded, picture, put

PHASES = {"forward": 10**12, "backward": 2 * 10**12, "regularizer.end_task": 10**11}


def large_run(
    folder: Path,
    num_tasks: int = 20,
    done: int = 20,
    num_new: int = 41,
    num_old: int = 19,
    name: Callable[[str, int], str] = "{}_dataset_number_{}".format,
    label: str = "ema_merge",
    seed: int = 0,
) -> Path:
    """The folder of a run that has ``done`` of its updates behind it, with images, domains and all files."""
    roles = {name("new", each): "adaptation" for each in range(num_new)}
    roles |= {name("old", each): "retention" for each in range(num_old)}
    config = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8")) | {"seed": seed, "label": label}
    put(folder / "config.yaml", yaml.safe_dump(config, allow_unicode=True))
    put(folder / "scores.json", json.dumps(_scores(roles, num_tasks, done)))
    new = [each for each, role in roles.items() if role == "adaptation"]
    tasks = [[f"{new[(task + each) % num_new]}+++class {each}" for each in range(12)] for task in range(num_tasks)]
    put(folder / "stream.json", json.dumps({"name": "made_up", "tasks": tasks}))
    put(folder / "events.jsonl", "".join(f"{json.dumps(event)}\n" for event in _events(done)))
    put(folder / "ledger.json", json.dumps(_ledger(num_tasks, done)))
    put(folder / "thumbnails.json", json.dumps({"images": _images(new[0], list(roles)[-1], num_tasks)}))
    if done == num_tasks:
        hashes = {f"{each}_sha256": file_digest(folder / f"{each}.json") for each in ("scores", "ledger")}
        put(folder / "card.json", json.dumps({"schema": "fomo.card/1", "seconds": 3000.5, **hashes}))
    return folder


def _scores(roles: dict[str, str], num_tasks: int, done: int) -> dict[str, Any]:
    about = {"kind": "classification", "metric": "accuracy", "num_samples": 1000}
    evaluations = [
        {
            "task": task,
            "scores": {
                name: 30.0 + 2 * task + place % 7 if role == "adaptation" else 70.0 - task - place % 5
                for place, (name, role) in enumerate(roles.items())
            },
            "tasks": {str(of): 40.0 + task - of for of in range(1, num_tasks + 1)},
        }
        for task in range(done + 1)
    ]
    return {
        "schema": "fomo.scores/1",
        "stream": {"name": "made_up", "sha256": "0" * 64},
        "split": "test",
        "marks": [],
        "num_tasks": num_tasks,
        "datasets": {
            name: {"role": role, "domain": ("birds", "maps", "sketches")[place % 3], **about}
            for place, (name, role) in enumerate(roles.items())
        },
        "evaluations": evaluations,
    }


def _events(done: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{"event": "evaluation", "task": 0, "time": 1e9}]
    for task in range(1, done + 1):
        rows = (
            {"pretraining": 4, "update": 4, "buffer": 4} if task > 1 else {"pretraining": 6, "update": 6, "buffer": 0}
        )
        for step in range(10):
            known = {"loss": 2 - step / 10, "lr": 1e-3 * (1 - step / 10), "time": 1e9 + 100 * task + step}
            events.append({"event": "step", "task": task, "step": step, **known, **rows})
        events.append({"event": "evaluation", "task": task, "time": 1e9 + 100 * task + 60})
    return events


def _ledger(num_tasks: int, done: int) -> dict[str, Any]:
    spent = {"steps": 10, "flops": sum(PHASES.values()), "mafs": 3100.0}
    nothing = {"steps": 0, "flops": 0, "mafs": 0.0}
    tasks = {
        str(task): {
            "planned": spent,
            "charged": spent if task <= done else nothing,
            "phases": PHASES if task <= done else {},
        }
        for task in range(1, num_tasks + 1)
    }
    return {
        "schema": "fomo.ledger/1",
        "unit": "total_mafs",
        "total": 3200.0 * num_tasks,
        "marks": [],
        "planned": {"steps": 10 * num_tasks, "mafs": 3100.0 * num_tasks},
        "charged": {"steps": 10 * done, "mafs": 3100.0 * done},
        "samples": {"pretraining": 40 * done, "update": 40 * done, "buffer": 40 * done},
        "tasks": tasks,
        "phases": {phase: flops * done for phase, flops in PHASES.items()},
    }


def _images(new: str, old: str, num_tasks: int) -> list[dict[str, Any]]:
    jpeg = base64.b64encode(encoded(picture(3, (56, 42)), "JPEG")).decode()
    return [
        {"task": task, "dataset": new if task else old, "label": f"class {each}", "jpeg": jpeg}
        for task in range(num_tasks + 1)
        for each in range(3)
    ]
