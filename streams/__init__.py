"""What a stream is made of: dataset declarations, orderings, the pocket's drawings."""

from streams.build import build_stream, file_stream
from streams.opening import available, open_named

__all__ = ["available", "build_stream", "file_stream", "open_named"]
