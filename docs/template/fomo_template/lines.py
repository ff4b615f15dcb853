"""A logger: a line of CSV a number."""

import fomo


class Lines(fomo.Logger):
    """Writes step, key and value of every point into the file ``name`` of the run folder."""

    def __init__(self, name: str = "lines.csv"):
        self.name = name

    def begin(self, run):
        """Begin the file anew: every point of the run is told after this, when it has gone on too."""
        self.file = (run.folder / self.name).open("w", encoding="utf-8")

    def log(self, point):
        """Write a point."""
        self.file.writelines(f"{point.step},{key},{value!r}\n" for key, value in point.values.items())

    def end(self, finished):
        """Close the file."""
        self.file.close()
