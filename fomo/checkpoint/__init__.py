"""Whole states on disk: the files, and when they are written."""
