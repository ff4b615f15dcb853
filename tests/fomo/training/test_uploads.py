"""Batches on their way to the device: the next one begun before a step, nothing else changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from fomo.errors import FomoError, Stopped
from fomo.stream.batches import RawBatch
from fomo.system.runtime import Runtime
from fomo.training.uploads import Uploads, one_ahead


def fetched(log: list[str], fails: BaseException | None = None) -> Iterator[int]:
    for number in range(3):
        log.append(f"fetch {number}")
        yield number
    if fails is not None:
        raise fails


def test_the_next_one_is_at_hand_when_one_is_given() -> None:
    log: list[str] = []
    for number in one_ahead(fetched(log)):
        log.append(f"step {number}")
    assert log == ["fetch 0", "fetch 1", "step 0", "fetch 2", "step 1", "step 2"]
    assert list(one_ahead(iter(()))) == [] and list(one_ahead(iter([7]))) == [7]


def test_an_error_comes_in_its_turn_and_a_signal_at_once() -> None:
    seen: list[int] = []
    with pytest.raises(FomoError, match="sample 3 is gone"):
        for number in one_ahead(fetched([], FomoError("sample 3 is gone"))):
            seen.append(number)
    assert seen == [0, 1, 2]
    seen.clear()
    with pytest.raises(Stopped):
        for number in one_ahead(fetched([], Stopped("SIGTERM", 75))):
            seen.append(number)
    assert seen == [0, 1]


def raw(number: int) -> RawBatch:
    images = torch.full((2, 3, 4, 4), number, dtype=torch.uint8)
    return RawBatch(images, torch.full((2, 5), number), torch.full((2, 4), number), (1, 1, 0), (1, 1, 0))


class Stream:
    """Of a GPU that is not here: what is asked of it goes into a log."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self.log = log

    def record_event(self) -> str:
        self.log.append(("event", self.name))
        return f"copied {sum(kind == 'event' for kind, _ in self.log)}"

    def wait_event(self, event: str) -> None:
        self.log.append(("wait", event))


def test_on_a_gpu_a_batch_is_copied_beside_the_step_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[Any] = []
    side = Stream("side", log)
    main = Stream("main", log)

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        assert stream is side
        yield

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, non_blocking: tensor.clone())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: log.append(("used", stream.name)))
    runtime = Runtime("cpu", num_workers=2)
    object.__setattr__(runtime, "device", "cuda:0")
    uploads = Uploads(runtime)
    for number, upload in enumerate(uploads(map(raw, range(3)))):
        images, tokens, sources = uploads.arrived(upload)
        log.append(("step", number))
        assert (images == number).all() and (tokens == number).all() and (sources == number).all()
    kinds = [what for what in log if what[0] != "used"]
    assert kinds == [
        *[("event", "side"), ("event", "side"), ("wait", "copied 1"), ("step", 0)],
        *[("event", "side"), ("wait", "copied 2"), ("step", 1), ("wait", "copied 3"), ("step", 2)],
    ]
    assert log.count(("used", "main")) == 9


def test_on_a_cpu_nothing_is_copied_or_made_ahead() -> None:
    begun: list[int] = []

    def make() -> Iterator[RawBatch]:
        for number in range(3):
            begun.append(number)
            yield raw(number)

    uploads = Uploads(Runtime("cpu", num_workers=2))
    upload = next(uploads(make()))
    assert begun == [0] and uploads.arrived(upload)[0] is upload.raw.images


@pytest.mark.gpu
def test_what_arrives_on_a_gpu_is_what_was_sent() -> None:
    uploads = Uploads(Runtime("cuda", num_workers=2))
    sent = [raw(number)._replace(images=torch.randint(256, (64, 3, 64, 64), dtype=torch.uint8)) for number in range(9)]
    pinned = (each._replace(images=each.images.pin_memory()) for each in sent)
    for batch, upload in zip(sent, uploads(pinned), strict=True):
        torch.cuda._sleep(10**7)  # the step at hand takes its time
        images, tokens, _ = uploads.arrived(upload)
        assert torch.equal(images.cpu(), batch.images) and torch.equal(tokens.cpu(), batch.tokens)
