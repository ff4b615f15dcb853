"""What a user may say of an open_clip model because neither its name nor its weights do."""

from dataclasses import dataclass

from fomo.errors import FomoError


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
            if value is not None and (type(value) is not int or value < 1):
                raise FomoError(f"model.{key}={value}: allowed are integers above 0.")
        if self.quick_gelu not in (None, True, False):
            raise FomoError(f"model.quick_gelu={self.quick_gelu}: allowed are true and false.")
