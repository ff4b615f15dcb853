"""How wide what is printed may be."""

from rich.console import Console


def screen() -> Console:
    """Standard output, 160 characters wide where no terminal says how wide it is."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def is_wide(console: Console) -> bool:
    """Whether there is room for more than the most important columns, as in 110 characters."""
    return console.width >= 110
