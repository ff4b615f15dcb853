"""Batches of images come to the device in order; on a GPU beside the one that is computed, and few at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from fomo.evaluation.uploads import AT_A_TIME, ImageUploads


def batches(number: int, side: int = 4) -> list[tuple[int, list[Tensor]]]:
    """Each of two pieces, whose pixels are the batch's number."""
    return [
        (each, [torch.full((rows, side, side, 3), each, dtype=torch.uint8) for rows in (1, 2)])
        for each in range(number)
    ]


class Stream:
    """Of a GPU that is not here: what is asked of it goes into a log."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self.log = log
        self.num_events = 0

    def record_event(self) -> "Event":
        self.num_events += 1
        return Event(f"{self.name} {self.num_events - 1}", self.log)

    def wait_event(self, event: "Event") -> None:
        self.log.append(f"{self.name} waits for {event.name}")


class Event:
    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self.log = log
        log.append(name)

    def synchronize(self) -> None:
        self.log.append(f"host waits for {self.name}")


def test_on_a_gpu_a_batch_is_copied_beside_the_one_before_it_and_the_host_is_held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    copies = Stream("copy", log)
    main = Stream("computed", log)

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        assert stream is copies
        yield

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: copies)
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, non_blocking: tensor.clone())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)
    uploads = ImageUploads("cuda:0")
    for number, uploaded in uploads(batches(5)):
        with uploads.arrived(uploaded) as images:
            assert images.shape == (3, 4, 4, 3) and (images == number).all()
    held = [f"computed {number}" for number in range(5)]
    assert [each for each in log if each in held] == held and "host waits for computed 0" in log
    for number in range(1, 5):
        assert log.index(f"copy {number}") < log.index(f"computed {number - 1}") < log.index(f"computed {number}")
        assert log.index(f"computed waits for copy {number}") < log.index(f"computed {number}")
    for number in range(AT_A_TIME, 5):
        assert log.index(f"host waits for computed {number - AT_A_TIME}") < log.index(f"copy {number}")


def test_on_a_cpu_nothing_is_copied_ahead() -> None:
    made: list[int] = []
    uploads = ImageUploads("cpu")
    for number, uploaded in uploads((made.append(each[0]), each)[1] for each in batches(3)):
        with uploads.arrived(uploaded) as images:
            assert (images == number).all() and made == list(range(number + 1))


@pytest.mark.gpu
def test_what_arrives_on_a_gpu_is_what_was_sent() -> None:
    uploads = ImageUploads("cuda")
    sent = ((number, [piece.pin_memory() for piece in pieces]) for number, pieces in batches(9, side=224))
    for number, uploaded in uploads(sent):
        torch.cuda._sleep(10**7)  # the batch at hand takes its time
        with uploads.arrived(uploaded) as images:
            assert (images == number).all()
