"""``stream.json``: the concepts of every task, what is held out, and the hashes of both and of the data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import STREAM
from fomo.system.checks import is_strings
from fomo.system.digest import json_digest
from fomo.system.reading import read_json
from fomo.system.writing import write_json

SCHEMA = "fomo.stream/1"


@dataclass(frozen=True)
class StreamFile:
    """The content of ``stream.json``.

    ``tasks`` hold concepts as ``DATASET+++class name``, in order; ``retention`` the names of held-out datasets;
    ``sha256`` is of the definition, ``data_sha256`` of the data. Either is empty in a file that lacks it.
    """

    name: str
    tasks: list[list[str]]
    retention: list[str]
    sha256: str = ""
    data_sha256: str = ""

    @property
    def definition_sha256(self) -> str:
        """Hash of what the file lists, which ``sha256`` is if nobody edited it."""
        return json_digest({"schema": SCHEMA, "name": self.name, "tasks": self.tasks, "retention": self.retention})

    def write(self, run: Path) -> None:
        """Write the file into a run folder."""
        hashes = {"sha256": self.sha256, "data_sha256": self.data_sha256}
        about = {"schema": SCHEMA, "name": self.name, "tasks": self.tasks, "retention": self.retention}
        write_json(run / STREAM, about | hashes)


def read_stream(run: Path) -> StreamFile:
    """The stream of a run folder.

    Raises:
        FomoError: ``stream.json`` is not there, or not the stream of a run.
    """
    path = run / STREAM
    values: Any = read_json(path)
    tasks = values.get("tasks") if isinstance(values, dict) else None
    if not isinstance(tasks, list) or not all(map(is_strings, tasks)):
        raise FomoError(f"{path}: not the stream of a run.")
    hashes = {key: values[key] for key in ("sha256", "data_sha256") if isinstance(values.get(key), str)}
    retention = values.get("retention")
    return StreamFile(str(values.get("name", "")), tasks, retention if is_strings(retention) else [], **hashes)
