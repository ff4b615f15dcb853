"""The files of a run folder, by name. A run folder may be a stranger's."""

import os
import stat
from pathlib import Path

from fomo.errors import FomoError

CONFIG = "config.yaml"
"""The resolved configuration, written first: it says whose folder it is."""
STREAM = "stream.json"
THUMBNAILS = "thumbnails.json"
"""A few images of the stream, small, for the report."""
SCORES = "scores.json"
PENDING = ".scores.json.next"
"""Scores with later evaluations, until the card has their hash and they take the place of those before."""
LEDGER = "ledger.json"
EVENTS = "events.jsonl"
REPORT = "report.html"
SAMPLES = "samples.safetensors"
"""Which test samples each evaluation got right; only where ``evaluation.keep_samples`` asks for it."""
CARD = "card.json"
"""Written last: where it lies, the run is finished."""
FILES = (CONFIG, STREAM, THUMBNAILS, SCORES, LEDGER, EVENTS, REPORT, CARD)
CHECKPOINTS = Path("checkpoint")
WEIGHTS = CHECKPOINTS / "final.safetensors"
"""What was scored after the last update, as the weights of the configured model."""
KEPT = CHECKPOINTS / "tasks"
"""With ``keep_weights=all`` the weights that were deployed after every task but the last, ``0001.safetensors``, …."""
NETWORK = CHECKPOINTS / "network.safetensors"
"""In place of these where what was scored is more than weights: those of the network."""
PARTS = CHECKPOINTS / "parts.safetensors"
"""Parameters that parts keep in themselves, as ``PART.ATTRIBUTE``; only where there are some."""
BAD_BATCH = Path("bad_batch.safetensors")
"""The batch whose loss or gradient was not finite."""
WORK = Path("work")
"""Where methods keep files of their own, such as one expert per task."""
TENSORBOARD = Path("tensorboard")
WANDB = Path("wandb")
"""Where loggers keep theirs; W&B names its folder itself."""
STUDY = "study.jsonl"
SETTINGS = "settings.yaml"
TRIALS = "trials.md"
"""In the folder of a tuning study, which is none of a run: its trials, what they have chosen, and both as a page."""


def weights_after(run: Path, task: int, num_tasks: int) -> Path:
    """Where the weights that are deployed after ``task`` updates lie, if they are kept."""
    return run / (WEIGHTS if task == num_tasks else KEPT / f"{task:04}.safetensors")


def refuse_odd_files(run: Path) -> None:
    """Refuse a run folder that holds a link or a device, before anything is written: it may lead out of the folder.

    W&B makes links in its own folder, where nothing else is written, and nothing under a name of before.

    Raises:
        FomoError: the path is named, and what it is.
    """
    for place, folders, files in os.walk(run):
        for path in (Path(place) / name for name in (*folders, *files)):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                raise FomoError(f"{path} is {kind}: a run writes into its own folder alone. Remove it.")
        if Path(place) == run:
            folders[:] = [name for name in folders if name != str(WANDB)]
