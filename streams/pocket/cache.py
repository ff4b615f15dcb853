"""The pocket's images, drawn once into memory-mapped uint8 arrays.

The cache folder is named by what the images depend on (this package's source and the drawing libraries), so
that an old cache is never mistaken for a new one. ``FOMO_CACHE`` moves it; else ``~/.cache/fomo``.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import current_process
from pathlib import Path

import numpy as np
from filelock import FileLock

from fomo import rng
from fomo.data.samples import ArraySamples
from fomo.errors import FomoError
from fomo.system.cache import cache_home
from fomo.system.workers import runner
from fomo.system.writing import folder_beside
from streams.pocket import sets
from streams.pocket.drawings.canvas import SIZE
from streams.pocket.drawings.digits import digits_split
from streams.pocket.drawings.pool import pool_sample

BLOCK = 500
POOL = "pool"


@dataclass(frozen=True)
class DrawingRequest:
    """An array to draw: a split of a dataset, or the first ``size`` samples of the pool."""

    dataset: str
    split: str
    size: int

    @property
    def folder(self) -> Path:
        """Where the array is kept."""
        return cache_root() / f"{self.dataset}-{self.split}-{self.size}"


Block = tuple[np.ndarray, np.ndarray, list[list[str]]]
"""Pixels [n, 32, 32, 3], targets [n] and captions of n samples."""


def cache_root() -> Path:
    """The folder of this version of the images."""
    return cache_home() / f"pocket-{fingerprint()}"


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Hash of the drawing code and of the versions of what it draws with."""
    here = Path(__file__).parent  # pretraining looks at the images and draws none
    drawing = sorted([*here.glob("*.py"), *(here / "drawings").rglob("*.py")])
    sources = [*drawing, Path(rng.__file__)]
    versions = [f"{name}={version(name)}" for name in ("numpy", "pillow", "matplotlib", "scikit-learn")]
    content = b"\0".join([path.read_bytes() for path in sources] + [text.encode() for text in versions])
    return hashlib.sha256(content).hexdigest()[:12]


def request(dataset: str, split: str) -> DrawingRequest:
    """The request for a whole split of a dataset."""
    return DrawingRequest(dataset, split, sets.num_samples(dataset)[split])


def open_array(wanted: DrawingRequest) -> ArraySamples:
    """The samples of a request, drawn now by this process if they are not cached."""
    if not wanted.folder.exists():
        draw_missing([wanted], num_workers=0)
    return ArraySamples(wanted.folder)


def draw_missing(wanted: Iterable[DrawingRequest], num_workers: int | None = None) -> int:
    """Draw what is not cached, over ``num_workers`` processes (``None``: all cores); returns the number of arrays.

    Another process that wants to draw waits; an array is renamed into place when it is whole.

    Raises:
        FomoError: the cache cannot be made; a script draws where it is imported.
    """
    wanted = list(dict.fromkeys(wanted))
    if all(one.folder.exists() for one in wanted):
        return 0
    _refuse_unguarded_script()
    with _locked(cache_root()):
        missing = [one for one in wanted if not one.folder.exists()]
        blocks = [(one, start) for one in missing for start in range(0, one.size, BLOCK)]
        drawn = _draw_blocks(blocks, num_workers)
        for one in missing:
            _store(one, [next(drawn) for _ in range(0, one.size, BLOCK)])
    return len(missing)


def _refuse_unguarded_script() -> None:
    """A worker that imports its parent's script would come here, and wait for the lock that its parent holds."""
    if getattr(current_process(), "_inheriting", False):
        raise FomoError("images are drawn by worker processes: put your script under `if __name__ == '__main__':`.")


def _locked(root: Path) -> FileLock:
    try:
        root.mkdir(parents=True, exist_ok=True)
        return FileLock(root / "lock")
    except OSError as error:
        way_out = "Name a folder that can be written: FOMO_CACHE=DIR."
        raise FomoError(f"the cache '{root}' cannot be made ({error.strerror}). {way_out}") from None


def _draw_blocks(blocks: Sequence[tuple[DrawingRequest, int]], num_workers: int | None) -> Iterator[Block]:
    workers = (os.cpu_count() or 1) if num_workers is None else num_workers
    with runner(workers if min(workers, len(blocks)) > 1 else 1) as run:
        yield from run(_draw, blocks)


def _draw(block: tuple[DrawingRequest, int]) -> Block:
    return draw_block(*block)


def draw_block(wanted: DrawingRequest, start: int) -> Block:
    """Draw up to ``BLOCK`` samples of a request, from the sample ``start`` on."""
    indices = range(start, min(start + BLOCK, wanted.size))
    if wanted.dataset == POOL:
        rows = [pool_sample(index) for index in indices]
        return _pixels([row.image for row in rows]), sets.pool_targets(rows), [[row.caption] for row in rows]
    if wanted.dataset == "pocket_digits":
        images, labels = digits_split(wanted.split)
        chosen = [(images[index], int(labels[index])) for index in indices]
        return _pixels([image for image, _ in chosen]), np.array([label for _, label in chosen]), [[] for _ in chosen]
    return _drawn(wanted, indices)


def _drawn(wanted: DrawingRequest, indices: range) -> Block:
    """Sample ``index`` has class ``index % num_classes``; its image and caption come from its own generator."""
    dataset = sets.DATASETS[wanted.dataset]
    images = []
    targets = []
    captions = []
    for index in indices:
        own = rng.generator("pocket", wanted.dataset, wanted.split, index)
        label = index % len(dataset.classes)
        images.append(dataset.draw(own, label))
        targets.append(label)
        captions.append([str(own.choice(dataset.templates)).replace("{}", dataset.classes[label])])
    return _pixels(images), np.array(targets), captions


def _pixels(images: Sequence[object]) -> np.ndarray:
    return np.stack([np.asarray(image, dtype=np.uint8) for image in images]).reshape(-1, SIZE, SIZE, 3)


def _store(one: DrawingRequest, blocks: Sequence[Block]) -> None:
    captions = [texts for block in blocks for texts in block[2]]
    with folder_beside(one.folder) as scratch:
        np.save(scratch / "images.npy", np.concatenate([block[0] for block in blocks]))
        np.save(scratch / "targets.npy", np.concatenate([block[1] for block in blocks]).astype(np.int64))
        (scratch / "captions.json").write_text(json.dumps(captions), encoding="utf-8")
