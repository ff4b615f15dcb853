"""Two small sets in shards, and where their decoded images are kept."""

from pathlib import Path
from typing import Any

import pytest

from fomo.data import shards as data_shards
from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset
from tests.fomo.evaluation.image_cache.images import LABELS, SIZES
from tests.streams.helpers import shards


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classification set and a retrieval set, in shards."""
    root = tmp_path_factory.mktemp("data")
    kinds = {"mine": "classification", "seeking": "retrieval"}
    for name, count in SIZES.items():
        shards(root, name, {"test": [(LABELS[each % 3], each) for each in range(count)]}, kind=kinds[name])
    return root


@pytest.fixture
def datasets(root: Path) -> dict[str, Dataset]:
    return {name: open_dataset(root / name) for name in SIZES}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's cache lies."""
    monkeypatch.setenv("FOMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every image that this process decodes."""
    calls: list[int] = []
    real = data_shards.decode

    def counted(data: bytes, **how: Any) -> Any:
        calls.append(len(data))
        return real(data, **how)

    monkeypatch.setattr(data_shards, "decode", counted)
    return calls
