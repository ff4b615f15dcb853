"""Steps that are tried on the device before a run are those of a task that has all that a hook may ask for."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.model import fast
from fomo.planning.planner import try_on_device
from fomo.running.run import execute, prepare
from fomo.system.determinism import deterministic
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


@pytest.mark.parametrize("is_deterministic", ["true", "false"])
def test_nothing_is_compiled_once_a_run_is_prepared(
    is_deterministic: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of two sizes of batches, two tasks with evaluations between them, and texts of four lengths."""
    compiled: list[int] = []
    called: list[int] = []

    def backend(graph: torch.fx.GraphModule, example: object) -> Any:
        compiled.append(1)
        return lambda *inputs: (called.append(1), graph.forward(*inputs))[1]

    monkeypatch.setattr(fast, "_compiled", cache(partial(torch.compile, fast._block, dynamic=False, backend=backend)))
    monkeypatch.setattr(fast, "_check_compiler", lambda device: None)
    settings = ("model=pocket", "runtime.compile=blocks", f"runtime.deterministic={is_deterministic}")
    sizes = ("budget.steps=14", "batch_ramp=[[192,12]]")
    prepared = tiny.prepared(*settings, *sizes)
    once = len(compiled)
    before = len(called)
    lengths = fast.lengths(prepared.model.network, 32)
    assert once == len(prepared.resolved.config.sizes.distinct) * (2 + len(lengths)) == 12
    execute(prepared, tmp_path / "run", tiny.Silent())
    assert len(called) > before and len(compiled) == once
    with deterministic(is_deterministic == "true"):  # a run that goes on is one of another process
        torch._dynamo.reset()
        prepare(prepared.resolved, kept_steps=prepared.plan.steps)
    assert len(compiled) == 2 * once
