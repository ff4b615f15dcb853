"""Kill commands at random moments, start them again, and compare: ``python -m tests.faults --kills 100``.

What is killed (SIGKILL) is ``fomo run`` and ``fomo data import`` as typed, in processes of their own, one to four times
in a row; then they are left to end. Seven kills in ten wait for a phase, the others come any time. 100 kills are at
least one round over every method, schedule and kind of import. The order, the number of kills and their aims follow
from the seed; the moments are fractions of the time that the machine takes. Exit status 1 where a file differs or a
process stays behind. With ``--processes 2`` two take the steps of each run, and one of them is killed.
"""

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run the campaign and print its numbers."""
    parser = argparse.ArgumentParser(
        "python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="stop after so many (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the order, of the aims and of the moments (0)")
    parser.add_argument("--processes", type=int, default=1, help="that take the steps of each run together (1)")
    parser.add_argument("--out", type=Path, help="keep the whole runs, what differs and all that was printed here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(campaign(options.kills, options.seed, options.out or Path(scratch), options.processes))


def campaign(kills: int, seed: int, folder: Path, processes: int) -> int:
    """Whether anything was found. Worker processes import this module too, hence the imports here."""
    from fomo.config.compose import groups
    from tests.faults.campaign import Campaign, in_order
    from tests.faults.jobs import jobs

    made = Campaign(folder, seed, processes)
    for job, in_a_row in in_order(seed, jobs()):
        if made.kills >= kills:
            break
        found = made.trial(job, in_a_row)
        print(f"{made.kills:4d} kills  {job}  {', '.join(found) or 'equal'}", flush=True)
    left = made.left_behind()
    print(f"{made.kills} kills in {made.trials} trials; landed in (a checkpoint is written beside other things):")
    print("\n".join(f"  {phase:20s} {number:4d}" for phase, number in made.landed.most_common()))
    for group, tried in made.covered("method", "schedule", "meta_schedule", "experiment", "optimizer").items():
        print(f"tried {group}: {len(tried)} of {len(groups()[group])}: {', '.join(tried)}")
    listed = ", ".join(f"{name} in {number}" for name, number in made.differing.items()) or "0"
    print(f"processes left behind: {left}; differences: {listed}")
    return int(bool(made.differing or left))


if __name__ == "__main__":
    main()
