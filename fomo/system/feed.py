"""What loader workers make of keys, in the order of the keys; and what becomes of a worker that fails, dies or hangs.

What is made is a pure function of its key. A worker that died is therefore replaced and its work made again, to the
same bytes; a second death before anything came is reported. A worker that hangs is reported too, and not replaced:
another one would hang at the same file.

Workers go on with keys that are announced while nobody asks for them, so that what is asked for next is there. At most
two keys a worker are under way or wait to be fetched.
"""

import logging
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from fomo.errors import FomoError, WorkerDied, WorkerHung
from fomo.system.posts import Board, post
from fomo.system.runtime import Runtime
from fomo.system.workers import end_with_parent, end_workers_first, ended_by, kill, shielded

SLICE = 1
"""Seconds between two looks at workers that nothing comes from."""
Key = TypeVar("Key")
Made = TypeVar("Made")
_log = logging.getLogger(__name__)
_killed: list[DataLoader[Any]] = []
"""Never freed: torch would wait for locks that a killed worker may have held."""


class WorkerError(NamedTuple):
    """An error on its way from a worker to its parent."""

    error: FomoError | RuntimeError
    """What the user did wrong; else where the program failed."""


class _WorkerLost(Exception):
    """A worker died; the message says how."""


class _Maker(Dataset[Any]):
    """``make`` as torch wants it; in a worker, what it raises is returned as a :class:`WorkerError`."""

    def __init__(self, make: Callable[[Any], Any], name: Callable[[Any], str], in_worker: bool) -> None:
        self._make = make
        self._name = name
        self._in_worker = in_worker

    def __getitem__(self, key: Any) -> Any:
        if not self._in_worker:
            return self._make(key)
        post(self._name(key))
        try:
            return self._make(key)
        except FomoError as error:
            return WorkerError(error)
        except Exception:  # raised again by whoever waits for it, with all that can be said
            return WorkerError(RuntimeError(f"{self._name(key)}, in a loader worker:\n{traceback.format_exc()}"))
        finally:
            post("")


class _Keys(Sampler[Any]):
    """The keys of the current pass: torch asks for them anew in every pass, while the workers live on."""

    def __init__(self) -> None:
        self.pending: Sequence[Any] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.pending)


class Feed(Generic[Key, Made]):
    """Makes ``make(key)`` for the keys of a pass, over the workers of ``runtime``, which live on from pass to pass.

    Args:
        make: a pure function of the key.
        runtime: ``num_workers``, 0 for this process, and how long a worker may be silent.
        name: what a key is called in messages.
    """

    def __init__(self, make: Callable[[Key], Made], runtime: Runtime, name: Callable[[Key], str] = str) -> None:
        self._make = make
        self._runtime = runtime
        self._name = name
        self._board = Board(runtime.num_workers)
        self._keys = _Keys()
        self._loader: DataLoader[Any] | None = None
        self._workers: list[BaseProcess] = []
        self._coming: deque[Key] = deque()
        """What workers are to make that nobody has fetched."""
        self._under_way: Iterator[Any] | None = None
        """What is made of ``_coming``; ``None``: nothing is being made."""

    def announce(self, keys: Sequence[Key]) -> None:
        """Start the workers and let them begin with ``keys``, which calls will ask for piece by piece, in this order.

        Errors wait until a call comes to their key. Without workers nothing is made before it is asked for.
        """
        if self._runtime.num_workers == 0:
            return
        self.close()
        self._coming.extend(keys)
        try:
            self._begin()
        except _WorkerLost:
            self._end_workers()  # whoever asks for the first key starts others

    def __call__(self, keys: Sequence[Key]) -> Iterator[Made]:
        """What is made of each key, in order.

        Raises:
            FomoError: ``make`` raised it; a worker hangs, or died twice at the same place.
        """
        done = 0
        lost = False
        while done < len(keys):
            try:
                for made in self._over(keys[done:]):
                    done += 1
                    lost = False
                    yield made
            except _WorkerLost as how:
                self._end_workers()
                name = self._name(keys[done])
                if lost:
                    raise WorkerDied(
                        f"{name}: two loader workers in a row died ({how}), as a rule for want of memory. Take fewer "
                        "by runtime.num_workers; the same command goes on."
                    ) from None
                _log.warning("%s: a loader worker died (%s); others take over from here", name, str(how))
                lost = True
            except BaseException:
                self._coming.clear()
                self._end_workers()
                raise

    def close(self) -> None:
        """End the workers, and forget what was announced. Those that are in the midst of something are killed."""
        self._coming.clear()
        if self._under_way is not None:
            self._end_workers()
        self._loader = None  # which ends those that wait
        self._workers = []

    def _over(self, keys: Sequence[Key]) -> Iterator[Made]:
        if list(islice(self._coming, len(keys))) != list(keys):
            if self._under_way is not None:
                self._end_workers()
            self._coming = deque(keys)
        self._begin()
        for key in keys:
            assert self._under_way is not None
            made = self._next(self._under_way, key) if self._workers else next(self._under_way)
            self._coming.popleft()
            if isinstance(made, WorkerError):
                raise made.error
            if not self._coming:
                self._under_way = None
            yield made

    def _begin(self) -> None:
        """Let workers make what is coming, unless they are at it."""
        if self._under_way is not None or not self._coming:
            return
        if self._loader is None:
            self._loader = self._loading()
        self._keys.pending = list(self._coming)
        before = set(active_children())
        try:
            with _undisturbed():
                self._under_way = iter(self._loader)
        except RuntimeError:
            raise _WorkerLost(self._how_one_died() or "it does not answer") from None
        finally:
            self._workers += set(active_children()) - before
            end_workers_first()

    def _loading(self) -> DataLoader[Any]:
        any_workers = self._runtime.num_workers > 0
        return DataLoader(
            _Maker(self._make, self._name, any_workers),
            batch_size=None,
            collate_fn=_itself,
            sampler=self._keys,
            num_workers=self._runtime.num_workers,
            persistent_workers=any_workers,
            timeout=SLICE if any_workers else 0,
            pin_memory=self._runtime.device.startswith("cuda"),
            generator=torch.Generator(),
            worker_init_fn=partial(_begin_work, self._board),
        )

    def _next(self, batches: Iterator[Any], key: Key) -> Any:
        """The next of ``batches``, that of ``key``. Torch looks after its workers every :data:`SLICE`, and raises."""
        with self._watched() as hung:
            while True:
                try:
                    return next(batches)
                except (RuntimeError, OSError, EOFError) as error:  # the latter two where a worker is cut in a word
                    waited = str(error) == f"DataLoader timed out after {SLICE} seconds"
                    if not waited:
                        time.sleep(SLICE)  # a process that ends closes its files before it is seen to end
                    if hung.is_set():
                        raise self._report(key) from None
                    if how := self._how_one_died():
                        raise _WorkerLost(how) from None
                    if not waited:
                        raise

    def _how_one_died(self) -> str:
        """How the first worker that is dead died; empty while all live."""
        return next((ended_by(worker.exitcode) for worker in self._workers if not worker.is_alive()), "")

    @contextmanager
    def _watched(self) -> Iterator[threading.Event]:
        """Watch the workers during the block. The event is set when one hangs and all have been killed."""
        over = threading.Event()
        hung = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over, hung), daemon=True)
        watch.start()
        try:
            yield hung
        finally:
            over.set()
            watch.join()  # it must not be the last one to hold the workers

    def _watch(self, over: threading.Event, hung: threading.Event) -> None:
        """Kill the workers when none has posted anything for too long.

        It runs in a thread of its own, since a worker that hangs can leave the main thread in a read without an end.
        """
        seen = self._board.text
        since = time.monotonic()
        while not over.wait(min(SLICE, self._runtime.worker_timeout / 4)):
            if self._board.text != seen:
                seen = self._board.text
                since = time.monotonic()
            elif time.monotonic() - since >= self._runtime.worker_timeout:
                hung.set()
                kill(self._workers)
                return

    def _report(self, key: Key) -> WorkerHung:
        return WorkerHung(
            f"{self._name(key)}: nothing came from the loader's workers for {self._runtime.worker_timeout:g} s, nor "
            f"did they read on. Last seen: {'; '.join(self._board.at_work()) or 'all without work'}. Is the file "
            "system stuck? With that mended, or a higher runtime.worker_timeout, the same command goes on."
        )

    def _end_workers(self) -> None:
        """Kill the workers in the midst of their work; another pass starts new ones."""
        kill(self._workers)
        if self._loader is not None and self._workers:
            _killed.append(self._loader)
        self._loader = None
        self._workers = []
        self._under_way = None


def _itself(made: Any) -> Any:
    return made


def _begin_work(board: Board, worker: int) -> None:
    """What a worker does first."""
    end_with_parent()
    board.assign(worker)
    post("")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start workers in the block: signals wait until the workers ignore them, and torch's own handler is taken out.

    That handler would raise at a worker's death wherever this process is, even within a step.
    """
    in_main = threading.current_thread() is threading.main_thread()
    heard = signal.getsignal(signal.SIGCHLD)
    with shielded():
        try:
            yield
        finally:
            if in_main:
                signal.signal(signal.SIGCHLD, heard or signal.SIG_DFL)
