"""The plan of the stream that a configuration describes."""

from fomo.config.parts import build
from fomo.config.schema import Config
from fomo.errors import FomoError
from fomo.stream.plan import StreamPlan


def stream_plan(config: Config) -> StreamPlan:
    """Build what ``stream._target_`` names; whoever runs the stream opens it.

    Raises:
        FomoError: the target cannot be built, or returns something else than a plan.
    """
    plan = build("stream", config.stream, config.runtime.allow_targets)
    if not isinstance(plan, StreamPlan):
        raise FomoError(
            f"stream._target_ = {config.stream['_target_']} returned a {type(plan).__name__}: expected is a "
            "fomo.stream.plan.StreamPlan. Return the plan of the stream; what runs the stream opens it."
        )
    return plan
