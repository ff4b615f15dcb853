"""Going on from a kept state: the one order of :class:`fomo.Method`, for runs and for the conformance kit."""

from collections.abc import Mapping
from typing import Any

import torch

from fomo.checkpoint.state import load_model, load_optimizer
from fomo.errors import FomoError
from fomo.method import Task
from fomo.training.step import Learner


def go_on(learner: Learner, state: Mapping[str, Any], task: Task | None = None) -> torch.optim.Optimizer | None:
    """Bring a learner, whose parts have begun the run on the base model, to a state; returns the optimizer.

    Args:
        learner: Its network, parts and optimizer are loaded.
        state: What :func:`fomo.checkpoint.state.training_state` gave, as it was read again.
        task: The task that the state lies in, which is begun first; ``None``: it lies between two tasks.

    Raises:
        FomoError: something does not take its state; it is named.
    """
    if task is not None:
        learner.methods.each("begin_task", learner.network, task)
        learner.methods.logged()  # which was written when the task began, of the weights that it began with
    load_model(learner.network, learner.methods, state)
    if not state["optimizer"]:
        return None
    optimizer = learner.optimizer(order=state.get("trained"))
    if optimizer is None:
        raise FomoError("nothing requires a gradient after load_state_dict, but something did when the state was kept.")
    load_optimizer(optimizer, state["optimizer"])
    return optimizer
