"""Photo-like JPEGs for benchmarks: soft blobs with fine noise."""

import io

import numpy as np
from PIL import Image

from fomo import rng


def photo(*keys: rng.Key, sides: tuple[int, int], noise: int, quality: int) -> tuple[bytes, np.ndarray]:
    """A JPEG, and the pixels that it was made of, uint8 [height, width, 3].

    Args:
        keys: What the picture is drawn from.
        sides: Height and width are from the first to before the second.
        noise: The largest change of a pixel's colour.
        quality: Of the JPEG.
    """
    draw = rng.generator(*keys)
    blobs = Image.fromarray(draw.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    width, height = draw.integers(*sides, 2)
    pixels = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(pixels + draw.integers(-noise, noise + 1, pixels.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue(), noisy
