"""Looks at datasets that are there: checks, duplicates, previews."""
