"""``samples.safetensors``: which test samples each evaluation got right, a bit each. Kept where it is asked for.

A tensor is named ``EVALUATION/DATASET/QUERY``. The evaluation is that after so many updates, as ``3``; ``3 in full``
where a part of the samples is scored on the way. The queries of classification are its images, ``image``; those of
retrieval are images that seek a caption (``image``) and captions that seek their image (``text``), both within the
first five. Bits are packed, the first sample in the highest bit, and unused ones are 0. ``captions/DATASET`` holds how
many captions each image has. The header has the number of bits of every tensor, the split, and the hash of the data.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fomo.errors import FomoError
from fomo.results.layout import SAMPLES
from fomo.results.scores import Evaluation, NotFinished, Scores
from fomo.system.checks import is_count, is_strings
from fomo.system.reading import Unreadable, parse_json
from fomo.system.writing import file_beside, sync

SCHEMA = "fomo.samples/1"
ABOUT = "fomo"
"""The entry of the header's metadata that says all, as JSON."""
CAPTIONS = "captions"
QUERIES = ("image", "text")
MAX_BYTES = 2**32
ROUNDING = 1e-6
"""A score in percent that bits give is that of the file of scores up to this."""


@dataclass(frozen=True)
class Hits:
    """What an evaluation got right in a dataset.

    ``image`` says it of every image, bool [n]; ``text`` of every caption in retrieval, bool [m], in the order of the
    images, of which each has ``captions`` many, uint16 [n]; both are ``None`` in classification.
    """

    image: np.ndarray
    text: np.ndarray | None = None
    captions: np.ndarray | None = None

    @property
    def score(self) -> float:
        """In percent: accuracy, or the mean of both recalls."""
        if self.text is None:
            return 100 * float(self.image.mean())
        return 50 * float(self.image.mean() + self.text.mean())

    @property
    def rows(self) -> np.ndarray:
        """Of each image whether it is right, how many of its captions are, and how many it has: int64 [n, 3]."""
        zeros = np.zeros(len(self.image), np.int64)
        if self.text is None or self.captions is None:
            return np.stack([self.image.astype(np.int64), zeros, zeros], axis=1)
        owner = np.repeat(np.arange(len(self.image)), self.captions)
        right = np.bincount(owner, weights=self.text, minlength=len(self.image)).astype(np.int64)
        return np.stack([self.image.astype(np.int64), right, self.captions.astype(np.int64)], axis=1)


@dataclass(frozen=True)
class SampleFile:
    """The content of the file: hits by evaluation and dataset, with the split and the hash of the data."""

    split: str
    data_sha256: str
    evaluations: Mapping[str, Mapping[str, Hits]] = field(default_factory=dict)

    def with_evaluation(self, name: str, hits: Mapping[str, Hits]) -> "SampleFile":
        """The same with one evaluation more, or another in the place of one."""
        return replace(self, evaluations={**self.evaluations, name: dict(hits)})

    def write(self, run: Path) -> None:
        """Write the file into a run folder; it outlasts a power cut."""
        tensors: dict[str, np.ndarray] = {}
        sizes: dict[str, int] = {}
        for name, of_datasets in sorted(self.evaluations.items()):
            for dataset, hits in of_datasets.items():
                for query in QUERIES:
                    if (bits := getattr(hits, query)) is not None:
                        sizes[f"{name}/{dataset}/{query}"] = len(bits)
                        tensors[f"{name}/{dataset}/{query}"] = np.packbits(bits)
                if hits.captions is not None:
                    tensors[f"{CAPTIONS}/{dataset}"] = hits.captions
        about = {"schema": SCHEMA, "split": self.split, "data_sha256": self.data_sha256, "bits": sizes}
        with file_beside(run / SAMPLES) as scratch:
            save_file(tensors, scratch, {ABOUT: json.dumps(about)})  # in one entry: of several the order is not fixed
            sync(scratch)


def evaluation_name(evaluation: Evaluation, in_full: bool = False) -> str:
    """What an evaluation is called in the file."""
    return f"{evaluation.task} in full" if in_full else str(evaluation.task)


def keep_hits(scores: Scores, name: str, hits: Mapping[str, Hits]) -> None:
    """Add an evaluation to the file of a run folder.

    Raises:
        FomoError: the file that is there is of something else, or damaged.
    """
    path = scores.folder / SAMPLES
    empty = SampleFile(scores.split, scores.stream.data_sha256)
    known = read_samples(scores.folder) if path.is_file() else empty
    if (known.split, known.data_sha256) != (empty.split, empty.data_sha256):
        raise FomoError(f"{path} is of other data than the run. Move it away; the same command goes on.")
    known.with_evaluation(name, hits).write(scores.folder)


def read_samples(run: Path) -> SampleFile:
    """The file of a run folder.

    Raises:
        NotFinished: there is none.
        FomoError: it is something else, or damaged.
    """
    path = run / SAMPLES
    if not path.is_file():
        raise NotFinished(f"{run}: it holds no {SAMPLES}: evaluation.keep_samples=true has a run write it.")
    if path.stat().st_size > MAX_BYTES:
        raise FomoError(f"{path}: larger than {MAX_BYTES} bytes, which no run writes.")
    try:
        with safe_open(path, framework="np") as file:
            about = _about(path, (file.metadata() or {}).get(ABOUT, ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise FomoError(f"{path}: cannot be read ({error}).") from None
    return SampleFile(about["split"], about["data_sha256"], _unpacked(path, tensors, about["bits"]))


def _about(path: Path, text: str) -> dict[str, Any]:
    try:
        about: Any = parse_json(text)
    except Unreadable:
        about = None
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise FomoError(f"{path}: not a file of samples of schema '{SCHEMA}'.")
    sizes = about.get("bits")
    named = is_strings([about.get("split"), about.get("data_sha256")])
    if not named or not isinstance(sizes, dict) or not all(map(is_count, sizes.values())):
        raise FomoError(f"{path}: its header does not say of what data it is, or how many bits there are.")
    return about


def _unpacked(path: Path, tensors: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> dict[str, dict[str, Hits]]:
    bits: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    packed = {name for name in tensors if not name.startswith(f"{CAPTIONS}/")}
    if packed != set(sizes):
        raise FomoError(
            f"{path}: {sorted(packed ^ set(sizes))[0]!r} is a tensor without a size, or a size without one."
        )
    for key, size in sizes.items():
        name, dataset, query = _parsed(path, key)
        bits.setdefault(name, {}).setdefault(dataset, {})[query] = _bits(path, key, tensors[key], size)
    captions = {name.partition("/")[2]: tensors[name] for name in tensors.keys() - packed}
    return {
        name: {dataset: _hits(path, dataset, of, captions) for dataset, of in each.items()}
        for name, each in bits.items()
    }


def _parsed(path: Path, key: str) -> tuple[str, str, str]:
    parts = key.split("/")
    if len(parts) != 3 or parts[2] not in QUERIES or not parts[0].removesuffix(" in full").isdecimal():
        raise FomoError(f"{path}: {key!r} is the name of no evaluation's bits.")
    return parts[0], parts[1], parts[2]


def _bits(path: Path, key: str, packed: np.ndarray, size: int) -> np.ndarray:
    if packed.dtype != np.uint8 or packed.shape != (-(-size // 8),):
        raise FomoError(f"{path}: '{key}' is {packed.dtype} {list(packed.shape)}, and has to hold {size} bits.")
    bits = np.unpackbits(packed)
    if bits[size:].any():
        raise FomoError(f"{path}: '{key}' has bits beyond its {size}.")
    return bits[:size].astype(bool)


def _hits(path: Path, dataset: str, bits: Mapping[str, np.ndarray], captions: Mapping[str, np.ndarray]) -> Hits:
    image, text, counts = bits.get("image"), bits.get("text"), captions.get(dataset)
    if image is None or not len(image):
        raise FomoError(f"{path}: '{dataset}' has no bits of images.")
    if text is None:
        return Hits(image)
    fits = counts is not None and counts.dtype == np.uint16 and counts.shape == image.shape and counts.all()
    if counts is None or not fits or int(counts.sum()) != len(text):
        raise FomoError(f"{path}: the captions of '{dataset}' are not those of its images.")
    return Hits(image, text, counts)


def hits_of(scores: Scores, samples: SampleFile, evaluation: Evaluation) -> Mapping[str, Hits]:
    """The bits of an evaluation, by dataset; they give its scores.

    Raises:
        NotFinished: the file has none of it.
        FomoError: they are of other data, or give other scores.
    """
    path = scores.folder / SAMPLES
    name = evaluation_name(evaluation, evaluation in scores.in_full)
    found = samples.evaluations.get(name)
    if found is None:
        raise NotFinished(f"{path}: it has no bits of the evaluation '{name}'.")
    if (samples.split, samples.data_sha256) != (scores.split, scores.stream.data_sha256):
        raise FomoError(f"{path} is of other data than the scores beside it.")
    for dataset, score in evaluation.scores.items():
        if dataset not in found or abs(found[dataset].score - score) > ROUNDING:
            raise FomoError(f"{path}: its bits do not give the score of '{dataset}' in the evaluation '{name}'.")
    return found
