"""How many examples, and what none of them may do.

``FOMO_FUZZ=night`` is the long mode: fifty times the examples, others in each session. In CI the examples are the
same in every session, so that a red one is the fault of the change at hand.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

from fomo.errors import FomoError

NIGHT = os.environ.get("FOMO_FUZZ") == "night"
TIMES = 50 if NIGHT else 1
HANG_SECONDS = 60
T = TypeVar("T")


def examples(number: int) -> settings:
    """Settings of a target: 2,000 for a parser, 200 where Hydra composes or pictures are decoded."""
    return settings(
        max_examples=number * TIMES,
        derandomize=not NIGHT,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow] if NIGHT else [],  # a night's machine may be shared
    )


PARSER, HEAVY = examples(2000), examples(200)

CALLS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "socket.connect")
CODE = ("pickle.find_class", "ctypes.dlopen", "os.link", "os.symlink")
PLACES = {
    "os.rename": {0: 2, 1: 3},
    "os.remove": {0: 1},
    "os.rmdir": {0: 1},
    "os.mkdir": {0: 2},
    "os.truncate": {0: None},
    "os.chmod": {0: 2},
}
"""Events that change files: which of their arguments are paths, and which say what folder each is relative to."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_roots: list[Path] = []
_seen: list[str] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _roots:
        return
    if event in CALLS or event in CODE:
        _seen.append(f"{event} {arguments!r}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
        _note(event, arguments[0], -1)
    elif event in PLACES:
        for place, folder in PLACES[event].items():
            _note(event, arguments[place], -1 if folder is None else arguments[folder])


def _note(event: str, path: Any, folder: int) -> None:
    """Note what lies outside of the root; ``folder`` is an open one that the path is relative to, -1 for none."""
    if isinstance(path, int):
        return
    named = os.fsdecode(path)
    whole = named if folder < 0 else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), named)
    if not Path(os.path.realpath(whole)).is_relative_to(_roots[-1]):
        _seen.append(f"{event} {path!r}")


sys.addaudithook(_hook)


def _hangs(number: int, frame: Any) -> None:
    raise AssertionError(f"no answer after {HANG_SECONDS} s")


@contextmanager
def watched(root: Path) -> Iterator[None]:
    """Fail if anything but files below ``root`` is changed, a process is started, a connection made, or it hangs."""
    _roots.append(root.resolve())
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        _roots.pop()
        found = list(_seen)
        _seen.clear()
    assert not found, found


def survives(root: Path, action: Callable[[], T]) -> T | None:
    """What ``action`` gives; nothing where it refuses with an error that says why."""
    with watched(root):
        try:
            return action()
        except FomoError as error:
            assert str(error).strip()
            return None
