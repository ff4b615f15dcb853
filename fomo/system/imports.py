"""Imports of packages that make hundreds of thousands of objects, as torch and open_clip do."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_imports() -> Iterator[None]:
    """Import what is large in the block: a sixth of that time would go into looking for garbage, and there is none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
