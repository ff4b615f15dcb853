"""Batches of images on their way to the device: the next one is copied to a GPU while one is computed."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from fomo.training.uploads import one_ahead

About = TypeVar("About")
AT_A_TIME = 3
"""Batches that lie on a GPU at most: one that is computed, one that waits, one that is copied."""


class Uploaded(NamedTuple):
    """Images on the device, uint8 [b, s, s, 3], where they are once ``copied`` has happened; ``None``: they are."""

    images: Tensor
    copied: torch.cuda.Event | None


class ImageUploads:
    """Brings batches of images to a ``device``, as torch names it. Nothing but their place changes."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.startswith("cuda") else None
        self._computed: deque[torch.cuda.Event] = deque()

    def __call__(self, batches: Iterable[tuple[About, Sequence[Tensor]]]) -> Iterator[tuple[About, Uploaded]]:
        """Batches that lie on the host in pieces [k, s, s, 3], in order, each with what is to be known about it."""
        begun = ((about, self._begun(pieces)) for about, pieces in batches)
        return one_ahead(begun) if self._stream else begun

    def _begun(self, pieces: Sequence[Tensor]) -> Uploaded:
        while len(self._computed) >= AT_A_TIME - 1:
            self._computed.popleft().synchronize()  # the host does not run ahead without end, nor does its memory
        with torch.cuda.stream(self._stream):  # None: no stream
            there = [piece.to(self._device, non_blocking=True) for piece in pieces]
            images = there[0] if len(there) == 1 else torch.cat(there)
            return Uploaded(images, self._stream.record_event() if self._stream else None)

    @contextmanager
    def arrived(self, uploaded: Uploaded) -> Iterator[Tensor]:
        """The images, as the current stream of the device may use them in the block."""
        if uploaded.copied is None:
            yield uploaded.images
            return
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(uploaded.copied)
        uploaded.images.record_stream(stream)  # its memory is another stream's
        yield uploaded.images
        self._computed.append(stream.record_event())
