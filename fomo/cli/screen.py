"""How wide what is printed may be."""

from rich.console import Console

PIPE_WIDTH = 160
"""Columns of tables where no terminal says how many there are."""
WIDE = 110
"""Columns from which on there is room for what is dispensable."""


def screen() -> Console:
    """Standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def is_wide(console: Console) -> bool:
    """Whether there is room for more than the most important columns."""
    return console.width >= WIDE
