"""A stream plan: the classes of one dataset from A to Z, another dataset held out."""

from pathlib import Path

from fomo.stream.definition import Concept
from fomo.stream.plan import StreamPlan
from streams.opening import available, open_at


class Alphabet(StreamPlan):
    """Learns the classes of the dataset ``learned`` in alphabetical order, and holds out ``kept``."""

    def __init__(self, learned: str, kept: str):
        self.name = "alphabet"
        classes = self.opened([learned])[learned].card.classes
        self.concepts = [Concept(learned, label) for label in sorted(classes)]
        self.retention = [kept]

    def datasets(self, names):
        """Return those of the named datasets that are there, by name."""
        known = available(Path("data"))
        return {name: open_at(name, known[name]) for name in names if name in known}
