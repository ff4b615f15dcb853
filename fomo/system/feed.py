"""What loader workers make, in the order of its keys; and what becomes of a worker that fails, dies or hangs.

What is made is a pure function of its key. A worker that died is therefore replaced and its work made again, to the
same bytes; a second death before anything came is reported. A worker that hangs is reported too, and not replaced:
another one would hang at the same file.
"""

import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from fomo.errors import FomoError, WorkerDied, WorkerHung
from fomo.system.posts import Board, reading
from fomo.system.runtime import Runtime
from fomo.system.workers import STOPPING, end_with_parent, ended_by, kill

SLICE = 1
"""Seconds between two looks at workers that nothing comes from."""
Key = TypeVar("Key")
Made = TypeVar("Made")
_log = logging.getLogger(__name__)
_killed: list[DataLoader[Any]] = []
"""Never freed: torch would wait for locks that a killed worker may have held."""


class Failed(NamedTuple):
    """An error on its way out of a worker; ``trace`` where it is none of the user's."""

    error: FomoError | None
    trace: str


class _Lost(Exception):
    """A worker died."""


class _Maker(TorchDataset[Any]):
    """``make`` as torch wants it; in a worker, what it raises comes back as :class:`Failed`."""

    def __init__(self, make: Callable[[Any], Any], name: Callable[[Any], str], in_worker: bool) -> None:
        self._make, self._name, self._in_worker = make, name, in_worker

    def __getitem__(self, key: Any) -> Any:
        if not self._in_worker:
            return self._make(key)
        reading(self._name(key))
        try:
            return self._make(key)
        except FomoError as error:
            return Failed(error, "")
        except Exception:  # raised again by whoever waits for it, with all that can be said
            return Failed(None, traceback.format_exc())
        finally:
            reading("")


class _Keys(Sampler[Any]):
    """The keys of the pass at hand; the loader's workers live on from pass to pass."""

    def __init__(self) -> None:
        self.pending: Sequence[Any] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.pending)

    def __len__(self) -> int:
        return len(self.pending)


class Feed(Generic[Key, Made]):
    """``make(key)`` for the keys of a pass, by the workers of ``runtime``; ``name(key)`` is for people."""

    def __init__(self, make: Callable[[Key], Made], runtime: Runtime, name: Callable[[Key], str] = str) -> None:
        self._make, self._runtime, self._name = make, runtime, name
        self._board, self._keys = Board(runtime.num_workers), _Keys()
        self._loader: DataLoader[Any] | None = None
        self._workers: list[BaseProcess] = []

    def __call__(self, keys: Sequence[Key]) -> Iterator[Made]:
        """What is made of each key.

        Raises:
            FomoError: ``make`` raised it; a worker hangs, or died twice at the same place.
        """
        done, lost = 0, False
        while done < len(keys):
            try:
                for made in self._over(keys[done:]):
                    done, lost = done + 1, False
                    yield made
            except _Lost as how:
                self._end_workers()
                place = self._name(keys[done])
                if lost:
                    raise WorkerDied(
                        f"{place}: two loader workers in a row died ({how}), as a rule for want of memory. Take fewer "
                        "by runtime.num_workers; the same command goes on."
                    ) from None
                _log.warning("%s: a loader worker died (%s); others take over from here", place, str(how))
                lost = True
            except BaseException:
                self._end_workers()
                raise

    def _over(self, keys: Sequence[Key]) -> Iterator[Made]:
        self._keys.pending = keys
        batches = self._begin()
        for key in keys:
            made = self._next(batches, key) if self._workers else next(batches)
            if isinstance(made, Failed):
                raise made.error or RuntimeError(f"{self._name(key)}, in a loader worker:\n{made.trace}")
            yield made

    def _begin(self) -> Iterator[Any]:
        if self._loader is None:
            self._loader = self._loading()
        before = set(active_children())
        try:
            with _undisturbed():
                return iter(self._loader)
        except RuntimeError:
            raise _Lost(self._how() or "it does not answer") from None
        finally:
            self._workers += set(active_children()) - before

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
            pin_memory=self._runtime.device != "cpu",
            generator=torch.Generator(),
            worker_init_fn=partial(_begin_work, self._board),
        )

    def _next(self, batches: Iterator[Any], key: Key) -> Any:
        """The next of ``batches``. Torch looks after its workers at the end of each slice of time, and raises."""
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
                    if how := self._how():
                        raise _Lost(how) from None
                    if not waited:
                        raise

    def _how(self) -> str:
        """How the first worker that is dead died."""
        return next((ended_by(worker.exitcode) for worker in self._workers if not worker.is_alive()), "")

    @contextmanager
    def _watched(self) -> Iterator[threading.Event]:
        """While open, someone watches; the event: a worker hangs, and all are killed."""
        over, hung = threading.Event(), threading.Event()
        watch = threading.Thread(target=self._watch, args=(over, hung), daemon=True)
        watch.start()
        try:
            yield hung
        finally:
            over.set()
            watch.join()  # it must not be the last one to hold the workers

    def _watch(self, over: threading.Event, hung: threading.Event) -> None:
        """Beside the one who waits: a worker that is stopped may leave it in a read that has no end of its own."""
        limit = self._runtime.worker_timeout
        seen, since = self._board.text, time.monotonic()
        while not over.wait(min(SLICE, limit / 4)):
            if self._board.text != seen:
                seen, since = self._board.text, time.monotonic()
            elif time.monotonic() - since >= limit:
                hung.set()
                kill(self._workers)
                return

    def _report(self, key: Key) -> WorkerHung:
        posts = [f"worker {at.worker} (process {at.process}) at {at.what}" for at in self._board if at.what]
        return WorkerHung(
            f"{self._name(key)}: nothing came from the loader's workers for {self._runtime.worker_timeout:g} s, nor "
            f"did they read on. Last seen: {'; '.join(posts) or 'all without work'}. Is the file system stuck? With "
            "that mended, or a higher runtime.worker_timeout, the same command goes on."
        )

    def _end_workers(self) -> None:
        """Whatever they are at; another pass starts new ones."""
        kill(self._workers)
        if self._loader is not None and self._workers:
            _killed.append(self._loader)
        self._loader, self._workers = None, []


def _itself(made: Any) -> Any:
    return made


def _begin_work(board: Board, worker: int) -> None:
    """The first thing in a worker."""
    end_with_parent()
    board.sign(worker)
    reading("")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """While workers start: signals wait until the workers ignore them, and torch installs no handler of its own.

    That would raise at a worker's death wherever this process is, in the midst of a step too.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    in_main, heard = threading.current_thread() is threading.main_thread(), signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGCHLD, heard or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
