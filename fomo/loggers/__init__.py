"""Loggers: what shows a run elsewhere while it goes on. They hear what ``events.jsonl`` hears, and change nothing."""
