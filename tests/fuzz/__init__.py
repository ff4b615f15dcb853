"""Hostile input: whatever bytes a reader meets, it gives a valid value or a ``FomoError``, and touches nothing else."""
