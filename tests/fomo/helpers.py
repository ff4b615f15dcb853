"""Fabricated data and run folders for tests that need no model."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from fomo import rng
from fomo.cli import main
from fomo.data.card import DatasetCard
from fomo.data.samples import Dataset, Samples

DATASETS = {"new_a": "adaptation", "new_b": "adaptation", "old": "retention"}


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(number: int, size: tuple[int, int] = (8, 6)) -> Image.Image:
    """A picture that no other number gives."""
    pixels = rng.generator("test picture", number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def put(path: Path, content: bytes | str | Image.Image) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Image.Image):
        content = encoded(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def dataset(name: str, classes: Sequence[str]) -> Dataset:
    """A declared dataset whose pictures nobody opens."""

    def nothing(split: str) -> Samples:
        raise AssertionError(split)

    return Dataset(DatasetCard(name, tuple(classes), ("a {}",), {"train": 1}), nothing)


def evaluation(task: int, new_a: Any, new_b: Any, old: Any) -> dict[str, Any]:
    """One evaluation of the three datasets of :data:`DATASETS`."""
    scores = {"new_a": new_a, "new_b": new_b, "old": old}
    samples = dict.fromkeys(DATASETS, 10)
    return {"task": task, "subset": 1.0, "scores": scores, "tasks": {"1": new_a, "2": new_b}, "num_samples": samples}


def scores_content(*evaluations: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A scores file of a stream with two tasks."""
    about = {"kind": "classification", "metric": "accuracy", "num_samples": 10}
    return {
        "schema": "fomo.scores/1",
        "stream": {"name": "made_up", "sha256": "0" * 64},
        "split": "test",
        "marks": ["not budgeted"],
        "num_tasks": 2,
        "datasets": {name: {"role": role, **about} for name, role in DATASETS.items()},
        "evaluations": list(evaluations),
        **changes,
    }


def run_folder(
    folder: Path,
    *evaluations: Mapping[str, Any],
    seed: int = 0,
    label: str = "finetune",
    lr: float = 1.0,
    spent: float = 99.5,
    stream_seed: int | None = None,
    **scores: Any,
) -> Path:
    """A run folder as a finished run leaves it, without weights."""
    config: dict[str, Any] = {"seed": seed, "runtime": {"device": "cpu", "num_workers": 0}, "label": label}
    config |= {"optimizer": {"_target_": "methods.optimizers.adamw", "lr": lr}, "trainable": {"what": "full"}}
    config |= {"merging": {"_target_": "fomo.Method"}, "regularizer": {"_target_": "fomo.Method"}}
    config["stream"] = {} if stream_seed is None else {"seed": stream_seed}
    put(folder / "config.yaml", yaml.safe_dump(config))
    written = put(folder / "scores.json", json.dumps(scores_content(*evaluations, **scores)))
    tasks = [["new_a+++x"], ["new_b+++y"]][: scores.get("num_tasks", 2)]
    put(folder / "stream.json", json.dumps({"tasks": tasks}))
    ledger = put(folder / "ledger.json", json.dumps(ledger_content(spent)))
    hashes = {f"{file.stem}_sha256": hashlib.sha256(file.read_bytes()).hexdigest() for file in (written, ledger)}
    put(folder / "card.json", json.dumps({"schema": "fomo.card/1", "seconds": 1.0, **hashes}))
    return folder


def ledger_content(spent: float) -> dict[str, Any]:
    """The ledger of a run that spent this much of 100 MAFs."""
    return {
        "schema": "fomo.ledger/1",
        "unit": "total_mafs",
        "total": 100.0,
        "marks": [],
        "planned": {"steps": 7},
        "charged": {"steps": 6, "mafs": spent},
        "samples": {"pretraining": 30, "update": 12},
    }


def status(*arguments: str) -> int:
    """Exit status of the command."""
    try:
        main(list(arguments))
    except SystemExit as stopped:
        assert isinstance(stopped.code, int)
        return stopped.code
    return 0


def imported(root: Path) -> Path:
    """``root``, with a dataset ``mine`` of four classes in it."""
    for number in range(40):
        put(root / "tree" / f"kind {number % 4}" / f"{number}.png", picture(number, (40, 36)))
    words = ("data", "import", "folder", str(root / "tree"), "--name", "mine", "--out", str(root), "--workers=1")
    assert status(*words) == 0
    return root


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error line of a command that must end with status 2."""
    assert status(*arguments) == 2
    return capsys.readouterr().err
