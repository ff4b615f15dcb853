"""Scores that are added to a finished run: ``scores.json`` and its hash in ``card.json`` change together or not at all.

The new scores are written beside the old ones, then the card that has their hash, then they take the old ones' name. A
process that ends in between leaves new scores beside: :func:`settle` gives them their name if the card has their hash,
and removes them otherwise.
"""

from dataclasses import replace
from pathlib import Path

from fomo.results.card import read_card
from fomo.results.layout import PENDING, SAMPLES, SCORES
from fomo.results.scores import Scores
from fomo.system.digest import file_digest
from fomo.system.lock import locked
from fomo.system.writing import sync, write_json


def rewrite(scores: Scores) -> None:
    """Put ``scores`` in the place of those of their finished run."""
    run = scores.folder
    write_json(run / PENDING, scores.to_json())
    sync(run / PENDING)
    card = replace(read_card(run), scores_sha256=file_digest(run / PENDING))
    if card.samples_sha256:
        card = replace(card, samples_sha256=file_digest(run / SAMPLES))
    card.write(run)
    (run / PENDING).replace(run / SCORES)


def settle(run: Path) -> None:
    """Finish what a process has left that ended within :func:`rewrite`; the caller does not hold the folder.

    Raises:
        FomoError: another process holds the folder, and may be within it.
    """
    pending = run / PENDING
    if not pending.is_file():
        return
    with locked(run):
        if file_digest(pending) == read_card(run).scores_sha256:
            pending.replace(run / SCORES)
        else:
            pending.unlink()
