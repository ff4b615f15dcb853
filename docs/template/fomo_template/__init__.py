"""One part of each kind, every module a template of its own: docs/extending.md shows them."""
