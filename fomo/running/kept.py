"""The deployed weights of a run on disk: those at the end, and with ``keep_weights=all`` those after every task."""

from pathlib import Path

from safetensors.torch import save_file

from fomo.model import weights
from fomo.model.weights import Weights
from fomo.results.layout import weights_after
from fomo.running.prepared import Prepared
from fomo.system.writing import file_beside


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
