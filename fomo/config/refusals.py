"""What is refused of what the factory builds: it does not fit the rest of the configuration."""

import torch

from fomo.config.schema import Config
from fomo.errors import FomoError, check_allowed
from fomo.stream.mixture import Mixture
from fomo.stream.pools import StreamPools
from fomo.training.fully_sharded import WAY_OUT


def check_made(config: Config, optimizer: object) -> None:
    """Refuse what is no optimizer, or one that cannot take the steps of this run.

    Raises:
        FomoError: it cannot.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise FomoError(
            f"optimizer._target_ = {config.optimizer['_target_']} returned a {type(optimizer).__name__}: expected "
            "is a torch.optim.Optimizer over the parameters that it is given."
        )
    if getattr(optimizer, "only_unmixed", False) and config.mixture.batches != "unmixed":
        raise FomoError(
            f"optimizer: {type(optimizer).__name__} takes batches of one pool each, and mixture.batches="
            f"{config.mixture.batches}. Add mixture.batches=unmixed, or take optimizer=adamw."
        )
    if getattr(optimizer, "only_whole", False) and config.runtime.strategy != "ddp":
        raise FomoError(
            f"runtime.strategy={config.runtime.strategy}: {type(optimizer).__name__} takes steps of whole weights "
            f"alone. {WAY_OUT}"
        )


def peak(config: Config) -> float:
    """The peak of the learning rate.

    Raises:
        FomoError: it is not a finite number above 0.
    """
    rate = config.optimizer.get("lr")
    is_rate = isinstance(rate, (int, float)) and 0 < rate < float("inf")
    check_allowed(is_rate, f"optimizer.lr={rate}", "finite numbers above 0")
    return float(rate)  # type: ignore[arg-type]  # None is refused


def check_pools(mixture: Mixture, drawn_from: StreamPools) -> None:
    """Refuse a mixture that asks for samples of a pool that has none.

    Raises:
        FomoError: it does, or the pool of pretraining data cannot be read.
    """
    share = mixture.weights.pretraining
    if share > 0 and drawn_from.pretraining.size == 0:
        raise FomoError(f"mixture.pretraining={share}, but the stream has no pretraining pool (stream.pool_size=0).")
    if share > 0:
        drawn_from.pretraining.draw(0)  # a pool that cannot be read is refused before long work
    for task, num_steps in enumerate(mixture.steps, start=1):
        if num_steps and mixture.totals(task)[1] == 0 and mixture.weights.update > 0:
            mixed = mixture.weights.batches == "mixed"
            few = f"batch_size={mixture.sizes.first}" if mixed else f"task {task}: {num_steps} unmixed steps"
            way_out = "take a larger batch" if mixed else "take more steps"
            raise FomoError(f"{few}: no sample is left for mixture.update={mixture.weights.update}: {way_out}.")
