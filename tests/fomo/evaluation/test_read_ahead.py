"""What a thread makes ahead comes in order, in bounded memory, and ends with whoever wanted it."""

import threading
from collections.abc import Iterator

import pytest

from fomo.errors import FomoError
from fomo.evaluation.read_ahead import ReadAhead
from tests.waiting import PATIENCE_SECONDS


def of(items: Iterator[int], most: int = 3) -> ReadAhead[int]:
    """Each item weighs one."""
    return ReadAhead(items, lambda item: 1, most)


def failing() -> Iterator[int]:
    yield from range(2)
    raise FomoError("sample 2 is gone")


def test_items_come_in_order_and_an_error_in_its_turn() -> None:
    assert list(of(iter(range(100)))) == list(range(100))
    ahead = of(failing())
    assert [next(ahead), next(ahead)] == [0, 1]
    for _ in range(2):
        with pytest.raises(FomoError, match="sample 2 is gone"):
            next(ahead)


def test_no_more_is_made_than_there_is_room_for_and_the_thread_ends_with_its_user() -> None:
    made: list[int] = []
    third = threading.Event()
    ended = threading.Event()

    def items() -> Iterator[int]:
        try:
            for number in range(100):
                made.append(number)
                if number == 3:
                    third.set()
                yield number
        finally:
            ended.set()

    generator = items()
    ahead = of(generator)
    assert next(ahead) == 0 and third.wait(PATIENCE_SECONDS)  # one is taken, so that there is room for one more
    ahead.close()
    for thread in threading.enumerate():
        if thread.name == "read ahead":
            thread.join(60)
    assert made == [0, 1, 2, 3]
    del generator, ahead
    assert ended.wait(PATIENCE_SECONDS)
