"""Random kills, and the comparison that shows that they change nothing: ``python -m tests.faults --kills 100``."""
