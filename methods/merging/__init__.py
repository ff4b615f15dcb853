"""Temporal model merging: techniques over state dicts, and the methods that apply them after each task."""
