"""The deployed weights of a run on disk: those at the end, and with ``keep_weights=all`` those after every task."""

import logging
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import save_file

from fomo.errors import FomoError
from fomo.model import weights
from fomo.model.weights import Weights
from fomo.results.card import read_card
from fomo.results.layout import KEPT, weights_after
from fomo.running.prepared import Prepared
from fomo.system.digest import file_digest
from fomo.system.writing import file_beside

_log = logging.getLogger(__name__)


def save_weights(prepared: Prepared, path: Path) -> Weights:
    """Write the network's plain weights, and return them; called while it is deployed."""
    found = {name: value.cpu().contiguous() for name, value in weights.folded(prepared.model.network).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_beside(path) as scratch:
        save_file(found, scratch)
    return found


def is_kept(prepared: Prepared, task: int) -> bool:
    """Whether the weights after ``task`` updates are written at once; the last ones are in any case, at the end."""
    return prepared.resolved.config.keep_weights == "all" and 0 < task < len(prepared.stream.tasks)


def keep_weights(prepared: Prepared, folder: Path, task: int) -> None:
    """Write the weights that are deployed after ``task`` updates."""
    save_weights(prepared, weights_after(folder, task, len(prepared.stream.tasks)))


def kept_files(run: Path) -> list[Path]:
    """The weights that a run has kept after tasks."""
    return sorted((run / KEPT).glob("*.safetensors"))


def kept_sha256(run: Path) -> dict[str, str]:
    """Their hashes, by the name of the file, for the card."""
    return {file.name: file_digest(file) for file in kept_files(run)}


def check_kept(run: Path, files: Iterable[Path]) -> None:
    """Refuse kept weights that a finished run did not write.

    Raises:
        FomoError: the first such file is named.
    """
    promised = read_card(run).kept_sha256
    if promised is None:
        _log.warning("%s: its card is of an older version: whether its kept weights are its own is not known.", run)
        return
    for file in files:
        if file_digest(file) != promised.get(file.name):
            raise FomoError(f"{file}: not the weights that the run wrote (their hash differs from the card's).")
