"""Files that all ranks of a run read, and the first one writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fomo.system import writing
from fomo.system.ranks import is_first, together


@contextmanager
def file_beside(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; when the block ends, it becomes ``path``, which is whole or not there.

    Where several processes take the steps of a run, all come here, what the first one writes is kept, and none leaves
    the block before it is there. What the others write is thrown away.
    """
    with together(f"it writes {path}"):
        if is_first():
            with writing.file_beside(path) as scratch:
                yield scratch
        else:
            with TemporaryDirectory() as folder:
                yield Path(folder) / path.name
