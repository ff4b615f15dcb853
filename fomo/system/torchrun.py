"""How ``torchrun`` starts the processes of a run, as the environment has it: known before torch is imported."""

import os

STARTED_BY = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def are_several() -> bool:
    """Whether this process is one of several of a run."""
    return all(name in os.environ for name in STARTED_BY) and int(os.environ["WORLD_SIZE"]) > 1


def number() -> int:
    """Which of a run's processes this is, from 0; 0 for one of its own."""
    return int(os.environ["RANK"]) if are_several() else 0
