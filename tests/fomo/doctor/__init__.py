"""Tests of ``fomo.doctor``."""
