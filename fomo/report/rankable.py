"""Runs for the leaderboard, read from folders and submissions and checked; what may not be ranked is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fomo.errors import FomoError
from fomo.report.entries import BoardRun
from fomo.report.tracks import track
from fomo.results.card import read_card
from fomo.results.config_file import read_config
from fomo.results.consistent import check_consistent, refuse_links
from fomo.results.layout import CARD
from fomo.results.ledger import LedgerFile, read_ledger
from fomo.results.scores import Scores
from fomo.results.scores_file import read_scores
from fomo.results.stream import read_stream
from fomo.results.submission import check_seed, opened
from fomo.system.digest import json_digest
from fomo.system.text import shortened

NEAREST = "rounded to nearest"
"""The caveat of a budget whose last step may overspend by half."""
LONGEST_WORDS = 1000
"""Characters of a run's track, and of its caveats."""
LONGEST_REASON = 600
"""Characters of why a run is not ranked, which may quote what a stranger wrote."""


def runs_in(place: Path, split: str, refused: dict[str, str]) -> Iterator[BoardRun]:
    """The runs of a run folder or of a submission; why others may not be ranked is added to ``refused``."""
    try:
        with opened(place) as runs:
            for name, folder in runs.items():
                try:
                    yield _read(folder, name, split)
                except FomoError as error:
                    refused[name] = shortened(str(error).replace(str(folder), name), LONGEST_REASON)
    except FomoError as error:
        refused[str(place)] = shortened(str(error), LONGEST_REASON)


def _read(folder: Path, name: str, split: str) -> BoardRun:
    """A run that was scored on a split, checked.

    Raises:
        FomoError: it may not be ranked.
    """
    refuse_links(folder)
    scores = _finished(folder, split)
    card = read_card(folder)
    ledger = read_ledger(folder)
    values = read_config(folder)
    if name != str(folder):
        check_seed(folder, values)
    check_consistent(folder, scores, card, ledger, values, read_stream(folder))
    budget = _budget(folder, ledger)
    code = json_digest(card.code)[:6] if card.code else ""
    own = f"{track(scores, card, values)}, {budget}"
    _refuse_long(folder, own, ", ".join(scores.caveats))
    return BoardRun(
        name=name,
        seed=values["seed"],
        values=values,
        scores=replace(scores, folder=Path(name)),
        budget=budget,
        track=own,
        code=code,
        steps=ledger.charged.steps,
        steps_of=ledger.steps("charged"),
        num_samples=sum(ledger.samples.values()),
        compute=card.compute,
        processes=card.num_processes,
    )


def _refuse_long(folder: Path, track: str, caveats: str) -> None:
    """Refuse what would fill the board: these words stand on it in full."""
    for name, text in (("track has", track), ("caveats have", caveats)):
        if len(text) > LONGEST_WORDS:
            raise FomoError(f"{folder}: its {name} {len(text):,} characters, allowed are {LONGEST_WORDS:,}.")


def _finished(folder: Path, split: str) -> Scores:
    scores = read_scores(folder)
    if scores.split != split:
        raise FomoError(f"{folder}: scored on the {scores.split} split: never ranked.")
    scores.final  # noqa: B018  raises when the run is not finished
    if not (folder / CARD).is_file():
        raise FomoError(f"{folder}: not finished: it holds no card.json.")
    return scores


def _budget(folder: Path, ledger: LedgerFile) -> str:
    """The compute that a run was given, in words; a run that spent more is refused."""
    charged = ledger.charged_units
    if charged is not None and charged > ledger.total and NEAREST not in ledger.caveats:
        raise FomoError(f"{folder}: the budget was overspent: {charged:.9g} of {ledger.total:.9g} {ledger.unit}.")
    return f"{ledger.unit} {ledger.total:,.9g}"
