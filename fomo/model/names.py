"""Names of models, read from files alone: the command line lists them without importing torch."""

import importlib.util
from pathlib import Path

MODELS = Path(__file__).parent / "bases"


def pocket_names() -> list[str]:
    """Names of the shipped base models."""
    return sorted(path.parent.name for path in MODELS.glob("*/config.json"))


def open_clip_names() -> list[str]:
    """Every model that the installed open_clip knows."""
    return sorted(path.stem for path in open_clip_configs().glob("*.json"))


def open_clip_configs() -> Path:
    """The folder of open_clip's model configurations."""
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "model_configs"
