"""Imports of packages that make hundreds of thousands of objects, as torch and open_clip do."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PROBED = ("wandb",)
"""Packages that timm imports where they are installed, to know that they are: half a second for nothing."""


@contextmanager
def many_imports() -> Iterator[None]:
    """Import what is large in the block; what is only probed for is not found in it, and whole afterwards."""
    with uncollected(), _hidden():
        yield


@contextmanager
def uncollected() -> Iterator[None]:
    """While open nobody looks for garbage: up to a sixth of the time where many objects are made that stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _hidden() -> Iterator[None]:
    hidden = [name for name in PROBED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: there is no such module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
