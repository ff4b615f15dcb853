"""The version of the package, and that of its scores."""

__version__ = "0.1.0"
SCORE_VERSION = "2.1"
"""Which scores may be compared: those of one MAJOR.MINOR, raised by hand (the CHANGELOG says why).

Major: what is measured is another thing. Minor: the same thing, to other numbers.
"""
FIRST_SCORE_VERSION = "1.0"
"""That of results and configurations that do not say theirs."""
