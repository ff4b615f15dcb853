"""A schedule: a straight line from the end of the warm-up to the floor."""

from methods.schedules import between, decaying, rising, steps_of


def line(step, w, num_steps):
    """Return the multiplier at ``step`` of ``num_steps``, of which the first w warm up."""
    return 1 - (step - w + 1) / (num_steps - w)


@decaying(line, ends=True)
def linear(at, warmup=0.1):
    """Return the learning rate at a ``fomo.Position``."""
    w = steps_of("warmup", warmup, at.num_steps)
    return rising(at, w) if at.step < w else between(at, line(at.step, w, at.num_steps))
