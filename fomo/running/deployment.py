"""What is scored is what is stored, and task 0 is the base model: checked, or said on the result."""

from contextlib import ExitStack
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from fomo.config import factory
from fomo.errors import FomoError, NotFinite
from fomo.method import Method
from fomo.model import plain
from fomo.model.clip import ClipModel
from fomo.model.weights import Weights
from fomo.running.contents import base_sha256
from fomo.running.prepared import Prepared
from fomo.system.memory_fault import during
from fomo.training.finite import check_weights

NUM_DATASETS = 8
"""Of so many datasets the first image and the first text are compared on."""


class Deployment:
    """The model that each evaluation scores, compared with a fresh one at the weights that would be stored.

    Args:
        prepared: The run, whose method has begun it.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._network = prepared.model.network
        self._scored: Tensor | None = None

    @cached_property
    def _probe(self) -> plain.Probe:
        """Of the evaluated split, which methods never see."""
        prepared, split = self._prepared, self._prepared.resolved.config.evaluation.split
        model, device = prepared.model, prepared.resolved.config.runtime.device
        datasets = list(prepared.stream.datasets.values())[:NUM_DATASETS]
        pixels = np.stack([model.preprocess.crop(each.split(split).image(0)) for each in datasets])
        texts = [each.card.classes[0] if each.card.classes else each.name for each in datasets]
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
        return plain.Probe(model.normalize(images), model.tokenize(texts).to(device))

    def try_early(self) -> None:
        """Before the first step: what is deployed, at weights that are moved, if it can be opened by then.

        Raises:
            FomoError: it is not the model of its weights.
        """
        if not self._prepared.is_plain:
            return
        with during("evaluation", 0), ExitStack() as stack:
            try:
                check = partial(check_weights, self._network, 1)
                stack.enter_context(self._prepared.methods.deployed(self._network, after=check))
            except NotFinite:
                raise
            except Exception:  # by the contract it has to open after the end of a task, not before
                return
            with plain.nudged(self._network):
                self._require_plain()

    def scored(self, task: int) -> ClipModel:
        """The model to score after ``task`` updates; called while it is deployed. Task 0 is the base model.

        Raises:
            FomoError: it is not the model of the weights that would be stored.
        """
        self._network.eval()
        if task == 0:
            return self._base()
        if self._prepared.is_plain:
            self._require_plain()
            self._scored = plain.outputs(self._network, self._probe)
        return self._prepared.model

    def _base(self) -> ClipModel:
        """The base model, made again where the method has moved it in ``begin_run`` or may compute otherwise."""
        prepared = self._prepared
        if prepared.is_plain and base_sha256(prepared.model) == prepared.base_sha256:
            return prepared.model
        model = factory.model(prepared.resolved.config)
        if base_sha256(model) != prepared.base_sha256:
            raise FomoError("the base model is not the one that the run was prepared with: run the command again.")
        return model

    def check_stored(self, state: Weights) -> None:
        """Before the run is finished: these weights give what the last evaluation scored.

        Raises:
            FomoError: they do not.
        """
        scored = plain.outputs(self._network, self._probe) if self._scored is None else self._scored
        self._refuse(plain.unlike(scored, plain.outputs_of(state, self._prepared.blank, self._probe)))

    def _require_plain(self) -> None:
        self._refuse(plain.difference(self._network, self._prepared.blank, self._probe))

    def _refuse(self, fault: str) -> None:
        if not fault:
            return
        parts = self._prepared.methods.parts
        deploying = [name for name, part in parts.items() if type(part).deployed is not Method.deployed]
        who = " and ".join(deploying or parts)
        raise FomoError(
            f"what is scored is not what would be stored ({who}): {fault}. Deploy weights alone, no hook, module or "
            "function of the network, or set plain_weights = False in the class: the result is then marked so."
        )
