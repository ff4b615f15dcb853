"""Tuning: settings that an engine proposes, tried as ordinary runs on the validation split."""
