"""What a stream is made of: dataset declarations, orderings, the pocket's drawings."""

from streams.build import available, build_stream, open_named

__all__ = ["available", "build_stream", "open_named"]
