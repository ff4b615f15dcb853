"""Random streams: one generator per purpose, derived by folding keys together.

Nothing in the benchmark reads or reseeds a global generator. Whoever needs randomness names the
purpose and the position, so that the same draw comes back whatever ran before it, in which process,
and after how many restarts.
"""

import hashlib

import numpy as np

Key = int | str


def fold(*keys: Key) -> int:
    """128 bits that depend on every key and on their order; ``fold(1, 23) != fold(12, 3)``."""
    # A separator inside of a key is doubled, so that it is none. NumPy's integers are integers.
    named = (f"{'str' if isinstance(key, str) else 'int'}:{key}" for key in keys)
    text = "\x1f".join(name.replace("\x1f", "\x1f\x1f") for name in named)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(*keys: Key) -> np.random.Generator:
    """A generator of its own for ``keys``, for example ``generator(seed, "augment", task, step)``."""
    return np.random.Generator(np.random.Philox(key=fold(*keys)))
