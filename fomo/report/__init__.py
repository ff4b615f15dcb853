"""Leaderboard, tables and pages from the files of run folders; needs neither torch nor Hydra."""
