"""What a stream is made of: dataset declarations, orderings, the pocket's drawings."""

from streams.build import build_stream, file_stream, num_training_samples, plan_file, plan_named
from streams.opening import available, open_named

__all__ = [
    "available",
    "build_stream",
    "file_stream",
    "num_training_samples",
    "open_named",
    "plan_file",
    "plan_named",
]
