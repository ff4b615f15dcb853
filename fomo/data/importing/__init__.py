"""Brings datasets of others into shards."""
