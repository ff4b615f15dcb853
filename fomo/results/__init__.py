"""The files of a run folder, one module for each."""
