"""``python -m fomo`` equals ``fomo``."""

from fomo.cli import entry

entry()
