"""Where things are kept that can be made again: ``FOMO_CACHE``, else ``~/.cache/fomo``."""

import os
from pathlib import Path


def cache_home() -> Path:
    """The folder of the cache, whether it is there or not."""
    home = os.environ.get("FOMO_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fomo"
    return Path(home)
