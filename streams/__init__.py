"""What a stream is made of: dataset declarations, orderings, the pocket's drawings."""

from streams.build import (
    available,
    build_stream,
    file_stream,
    num_training_samples,
    open_named,
    plan_file,
    plan_named,
)

__all__ = [
    "available",
    "build_stream",
    "file_stream",
    "num_training_samples",
    "open_named",
    "plan_file",
    "plan_named",
]
