"""Learning rate across tasks: the peak that each task's schedule rises to."""


def independent(task: int, peak: float) -> float:
    """Every task has the same peak: η_t = η."""
    return peak
