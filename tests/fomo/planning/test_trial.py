"""Steps that are tried on the device before a run are those of a task that has all that a hook may ask for."""

import torch
from torch import Tensor, nn

import fomo
from fomo.planning.planner import try_on_device
from tests import tiny


class AsksForEverything(fomo.Method):
    """Looks at the new data, keeps a file, reads labels, and takes the gradient a second time."""

    group = "regularizer"

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Draw as torch does."""
        self.drawn = torch.randn(1)

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """One mean over the new data, in the folder of the part."""
        self.task = task
        labels = torch.cat([batch.labels for batch in task.update_batches(8)])
        assert len(labels) == task.num_update_samples and self.workdir is not None
        self.workdir.mkdir()
        torch.save(nn.functional.one_hot(labels), self.workdir / "labels.pt")

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss as it is."""
        self.batch = batch
        return loss

    def after_backward(self, network: nn.Module) -> None:
        """The gradient of the same batch once more."""
        self.task.backward(self.batch)


def test_whatever_a_hook_may_ask_for_is_there_and_nothing_is_drawn_from_the_runs_randomness() -> None:
    part = (f"regularizer._target_={__name__}.AsksForEverything", "runtime.allow_targets=[tests]")
    prepared = tiny.prepared(*part)
    before = torch.get_rng_state()
    try_on_device(prepared.resolved.config, prepared.model, prepared.maker.pools.names)
    assert torch.equal(torch.get_rng_state(), before)
