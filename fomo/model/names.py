"""Names of models, read from files alone: the command line lists them without importing torch."""

import importlib.util
from pathlib import Path

MODELS = Path(__file__).parent / "bases"
LOCAL = "local-dir:"
HUB = "hf-hub:"
"""What stands before the folder, or the repository of the Hugging Face hub, that holds a model of open_clip's form."""
QUICK = "-quickgelu"
"""What the names of models with OpenAI's activation end with, where open_clip has both."""
UNSAID = "TAG, FILE or null"
"""What ``model.pretrained`` holds until the user says it: a run on random weights is a choice, not a default."""


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


def brings_weights(name: str) -> bool:
    """Whether a model is named by the place that holds its configuration and its weights."""
    return name.startswith((LOCAL, HUB))


def open_clip_option(name: str) -> dict[str, object]:
    """The values of ``model=NAME`` for a model of open_clip; the builder's name is added by the configuration."""
    preprocess = dict.fromkeys(("interpolation", "resize_mode", "fill_color", "mean", "std"))
    pretrained = name if brings_weights(name) else UNSAID
    options = dict.fromkeys(("image_size", "context_length", "quick_gelu"))
    return {"name": name, "pretrained": pretrained, **options, "preprocess": preprocess, "folder": None}
