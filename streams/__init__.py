"""What a stream is made of: dataset declarations, orderings, the pocket's drawings."""

from streams.build import build_stream, catalogue, num_training_samples, open_named

__all__ = ["build_stream", "catalogue", "num_training_samples", "open_named"]
