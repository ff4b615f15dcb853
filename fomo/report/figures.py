"""Figures that are files of their own, drawn by matplotlib."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fomo.errors import FomoError
from fomo.system.text import first_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def figures() -> Iterator[type["Figure"]]:
    """matplotlib's class for figures, to be drawn during the block, in its own style whatever the machine's is.

    Raises:
        FomoError: it cannot be imported, or cannot draw.
    """
    try:
        from matplotlib import rc_context, rcdefaults  # takes a while to import
        from matplotlib.figure import Figure

        with rc_context():
            rcdefaults()
            yield Figure
    except Exception as error:  # whatever fonts, folders and settings make of it
        what = f"{type(error).__name__}: {first_line(error)}"
        raise FomoError(f"matplotlib cannot draw here ({what}). Mend that, or draw on another machine.") from error


def png(drawing: "Figure") -> bytes:
    """A drawing as PNG bytes."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
