"""What a thread makes ahead of whoever uses it, in order and in bounded memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

SLICE = 1.0
"""Seconds of one wait. A signal that comes right before a wait, or to another thread, is heeded after it alone."""


class ReadAhead(Generic[Item]):
    """The items of a generator, which a thread runs ahead. What it raises is raised here, in its turn.

    Nobody waits for the thread: whoever stops a run must not be held up by a read that does not end.

    Args:
        items: Run by the thread.
        weigh: What an item weighs.
        most: The thread goes on while the items that nobody has taken weigh less.
    """

    def __init__(self, items: Iterator[Item], weigh: Callable[[Item], int], most: int) -> None:
        self._items = items
        self._weigh = weigh
        self._most = most
        self._made: deque[Item] = deque()
        self._weight = 0
        self._is_left = False
        self._is_over = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="read ahead", daemon=True).start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self._changed:
            while not self._changed.wait_for(lambda: self._made or self._is_over, SLICE):
                pass
            if self._made:
                item = self._made.popleft()
                self._weight -= self._weigh(item)
                self._changed.notify_all()
                return item
        raise self._error or StopIteration

    def close(self) -> None:
        """Take no more. The thread ends with the item that it is at."""
        with self._changed:
            self._is_left = True
            self._made.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:  # raised by whoever waits for what is made
            self._error = error
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def _put(self, item: Item) -> bool:
        """Have an item taken, and wait until there is room for another one: whether anybody would take that."""
        with self._changed:
            if self._is_left:
                return False
            self._made.append(item)
            self._weight += self._weigh(item)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_left or self._weight < self._most)
            return not self._is_left
