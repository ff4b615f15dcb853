"""What a user may say of an open_clip model because neither its name nor its weights do."""

from dataclasses import dataclass

from fomo.errors import check_allowed


@dataclass(frozen=True)
class Options:
    """Properties that are set on purpose; ``None`` leaves the model's own.

    Args:
        image_size: side of the input images, in pixels.
        context_length: tokens of a string.
        quick_gelu: whether the activation is QuickGELU.
    """

    image_size: int | None = None
    context_length: int | None = None
    quick_gelu: bool | None = None

    def __post_init__(self) -> None:
        for key in ("image_size", "context_length"):
            value = getattr(self, key)
            check_allowed(
                value is None or (type(value) is int and value >= 1), f"model.{key}={value}", "integers above 0"
            )
        check_allowed(self.quick_gelu in (None, True, False), f"model.quick_gelu={self.quick_gelu}", "true and false")
