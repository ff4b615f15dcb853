"""Datasets: what one sample is, how it is stored and read."""
