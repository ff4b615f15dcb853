"""What is printed on standard output: how wide it may be, tables that fit, JSON."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from fomo.system.text import escape

NARROWEST = 16
"""Characters that a column of words has at least."""


def screen() -> Console:
    """Standard output, 160 characters wide where neither a terminal nor ``COLUMNS`` says how wide it is."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=160)


def print_json(content: Any) -> None:
    """Print JSON alone; where the output has not every sign, the others are escaped, as JSON has it.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    is_unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    print(json.dumps(content, indent=1, ensure_ascii=not is_unicode, allow_nan=False))


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["examples:", *(f"  {line}" for line in lines)])


def is_wide(console: Console) -> bool:
    """Whether there is room for more than the most important columns, as in 110 characters."""
    return console.width >= 110


def fitting(heads: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[str], width: int) -> Iterator[Table]:
    """A table whose numbers are never cut, in parts where it is too wide; words are folded.

    Args:
        heads: The name of each column. The first columns, up to the last one in ``words``, stand in every part.
        rows: The cells of each row, plain text.
        words: The columns that hold words; the others are numbers, at the right.
        width: How wide a part may be, in characters.
    """
    first = max(number for number, head in enumerate(heads) if head in words) + 1
    widths = [max(len(row[number]) for row in (heads, *rows)) for number in range(len(heads))]
    least = [min(each, NARROWEST) if head in words else each for head, each in zip(heads, widths, strict=True)]
    part = list(range(first))
    for number in range(first, len(heads)):
        if len(part) > first and sum(least[each] + 3 for each in (*part, number)) + 1 > width:
            yield _part(heads, rows, words, part, least)
            part = part[:first]
        part.append(number)
    yield _part(heads, rows, words, part, least)


def _part(
    heads: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[str], part: Sequence[int], least: Sequence[int]
) -> Table:
    columns = [
        Column(escape(heads[each]), overflow="fold", min_width=least[each])
        if heads[each] in words
        else Column(escape(heads[each]), justify="right", no_wrap=True, min_width=least[each])
        for each in part
    ]
    table = Table(*columns)
    for row in rows:
        table.add_row(*(escape(row[each]) for each in part))
    return table
