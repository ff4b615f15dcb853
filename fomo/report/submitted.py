"""What a submission has to be before anyone ranks it: the finished runs of one experiment, one of each seed."""

from collections.abc import Sequence
from pathlib import Path

from fomo.errors import FomoError
from fomo.report.entries import BoardEntry
from fomo.report.leaderboard import leaderboard


def one_entry(places: Sequence[Path]) -> BoardEntry:
    """The entry that run folders, or a submission, make on a leaderboard of their own.

    Raises:
        FomoError: a run may not be ranked, has the seed of another, or is of another experiment; each reason is said.
    """
    board = leaderboard(places)
    wrong = [*dict.fromkeys(board.refused.values()), *board.notes]
    if wrong:
        raise FomoError(" ".join(wrong))
    if len(board.entries) != 1:
        found = "; ".join(f"{entry.label} ({', '.join(entry.folders)}; {entry.track})" for entry in board.entries)
        many = len(board.entries)
        raise FomoError(f"these are {many} experiments, a submission is of one: {found or 'there is no run folder'}")
    return board.entries[0]
