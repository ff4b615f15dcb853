"""Kill runs at random moments, start them again, and compare: ``python -m tests.faults --kills 100``.

A trial is one of the pocket's methods, schedules, budgets and worker counts on a tiny stream; it is killed one to three
times in a row (SIGKILL, at a random moment of the run that was not) and then left to end. Exit status 1 where a file
differs. What is killed is ``fomo run`` as typed, in a process of its own.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from fomo import rng
from tests.faults.campaign import Campaign, Setting, settings


def main() -> None:
    """Run the campaign and print its numbers."""
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="stop after so many (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of settings and of the moments (0)")
    parser.add_argument("--out", type=Path, help="keep the run folders here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        campaign = Campaign(options.out or Path(scratch), options.seed)
        for number, setting in enumerate(_in_random_order(options.seed)):
            if campaign.kills >= options.kills:
                break
            found = campaign.trial(number, setting)
            print(f"{campaign.kills:4d} kills  {setting}  {', '.join(found) or 'equal'}", flush=True)
    print(campaign.summary())
    sys.exit(bool(campaign.differing))


def _in_random_order(seed: int) -> "itertools.chain[Setting]":
    everything = settings()
    rounds = (rng.generator(seed, "settings", number).permutation(len(everything)) for number in itertools.count())
    return itertools.chain.from_iterable([everything[i] for i in order] for order in rounds)


if __name__ == "__main__":
    main()
