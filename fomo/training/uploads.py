"""Batches on their way to the device. The next one is copied to a GPU during a step, on a stream of its own."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from fomo.stream.batches import RawBatch
from fomo.system.runtime import Runtime

Item = TypeVar("Item")


class Upload(NamedTuple):
    """A batch of the host, and its tensors on the device, where they are once ``copied`` has happened."""

    raw: RawBatch
    tensors: tuple[Tensor, Tensor, Tensor]
    """Images, tokens, sources."""
    copied: torch.cuda.Event | None = None
    """``None``: they are there."""


class Uploads:
    """Brings batches to the device of ``runtime``. Nothing but their place changes, whatever is copied when."""

    def __init__(self, runtime: Runtime) -> None:
        self._device = runtime.device
        self._stream = torch.cuda.Stream(self._device) if self._device.startswith("cuda") else None
        self._is_ahead = self._stream is not None and runtime.num_workers > 0

    def __call__(self, raws: Iterator[RawBatch]) -> Iterator[Upload]:
        """The batches in order; where workers make them, the copy of the next one has begun."""
        begun = map(self._begun, raws)
        return one_ahead(begun) if self._is_ahead else begun

    def _begun(self, raw: RawBatch) -> Upload:
        with torch.cuda.stream(self._stream):  # None: no stream
            images, tokens, sources = (
                tensor.to(self._device, non_blocking=True) for tensor in (raw.images, raw.tokens, raw.sources)
            )
            copied = self._stream.record_event() if self._stream else None
        return Upload(raw, (images, tokens, sources), copied)

    def arrived(self, upload: Upload) -> tuple[Tensor, Tensor, Tensor]:
        """Images, tokens and sources, as the current stream of the device may use them. The host does not wait."""
        if upload.copied is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(upload.copied)
            for tensor in upload.tensors:
                tensor.record_stream(stream)  # its memory is another stream's
        return upload.tensors


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, each given when the next one is at hand. What an item raises is raised in its turn, after the others.

    A signal is heeded at once.
    """
    ahead: deque[Item] = deque()
    ended: Exception | None = None
    while ended is None:
        try:
            ahead.append(next(items))
        except Exception as end:
            ended = end
        if ahead and (ended is not None or len(ahead) > 1):
            yield ahead.popleft()
    if not isinstance(ended, StopIteration):
        raise ended
