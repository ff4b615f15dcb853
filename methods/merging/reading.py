"""Reading models tensor by tensor and in slices: from memory, or from a file that is never loaded as a whole."""

from collections.abc import Iterator, Mapping
from math import isfinite, prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from fomo import FomoError, file_beside

CHUNK = {"cpu": 2**17}
"""Entries that are worked on at once; few enough that the steps of a merge find them in the processor's cache."""
CHUNK_ELSEWHERE = 2**24
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Stored(Mapping[str, Tensor]):
    """A model in a safetensors file; a tensor, or some rows of it, is read when it is asked for.

    Raises:
        FomoError: the file is not there or not whole.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        try:
            self._file = safe_open(path, framework="pt", device=device)
        except (OSError, SafetensorError) as error:
            raise FomoError(
                f"{path}: a stored model cannot be read ({error}). Start the run in a new folder."
            ) from None
        slices = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118 - not a mapping
        self.shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
        self.dtypes = {name: DTYPES[each.get_dtype()] for name, each in slices.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self._file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def rows(self, name: str, part: slice) -> Tensor:
        """``self[name][part]`` without reading the rest."""
        return self._file.get_slice(name)[part]


Model = Mapping[str, Tensor]
"""Plain weights in memory, or :class:`Stored`."""


def store(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a model beside ``path`` and rename it: a file of that name is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_beside(path) as scratch:
        save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, scratch)


def shape_of(model: Model, name: str) -> tuple[int, ...]:
    """Shape of a tensor, unread."""
    return model.shapes[name] if isinstance(model, Stored) else tuple(model[name].shape)


def dtype_of(model: Model, name: str) -> torch.dtype:
    """Type of a tensor's entries, unread."""
    return model.dtypes[name] if isinstance(model, Stored) else model[name].dtype


def floating(model: Model) -> list[str]:
    """Names of the tensors that a merge computes; integer buffers are not among them."""
    return [name for name in model if dtype_of(model, name).is_floating_point]


def parts(shape: tuple[int, ...], device: str) -> Iterator[slice]:
    """Rows to be worked on together, in order, until all of a tensor's rows are covered."""
    num_rows, width = (shape[0], prod(shape[1:])) if shape else (1, 1)
    step = max(1, CHUNK.get(device, CHUNK_ELSEWHERE) // max(1, width))
    for start in range(0, num_rows, step):
        yield slice(start, min(start + step, num_rows))


def read(model: Model, name: str, part: slice) -> Tensor:
    """Rows of a tensor as a flat fp32 vector; a view where it can be one, so not to be written to."""
    if not shape_of(model, name):
        value = model[name]
    else:
        value = model.rows(name, part) if isinstance(model, Stored) else model[name][part]
    return value.detach().reshape(-1).float()


def check_finite(name: str, flat: Tensor) -> None:
    """Refuse a NaN or infinite entry of a model to merge."""
    if isinstance(flat, FakeTensor):  # a model without values, of which only the cost is counted
        return
    if not isfinite(float(flat.sum())) and not torch.isfinite(flat).all():  # a sum alone may overflow
        raise FomoError(f"a model to merge has a NaN or infinite entry in {name}: it cannot be merged.")
