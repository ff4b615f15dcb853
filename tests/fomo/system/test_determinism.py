"""torch's deterministic algorithms: on in a run and no longer, and what has none is named."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fomo
from fomo.errors import FomoError
from fomo.planning.planner import try_on_device
from fomo.results.layout import WEIGHTS
from fomo.results.scores_file import read_scores
from fomo.stream.definition import NO_NAMES
from fomo.system.determinism import deterministic, refused
from fomo.system.runtime import Runtime
from tests import tiny
from tests.fomo.helpers import status

PUTS = (f"regularizer._target_={__name__}.Puts", "runtime.allow_targets=[tests]")


class Puts(fomo.Method):
    """Writes by indices, which torch refuses to do deterministically on any device."""

    group = "regularizer"

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss."""
        torch.zeros(4, device=loss.device).put_(
            torch.tensor([0, 0], device=loss.device), torch.ones(2, device=loss.device)
        )
        return loss


def settings() -> tuple[bool, bool, bool, bool]:
    cudnn = torch.backends.cudnn
    fills: bool = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    return torch.are_deterministic_algorithms_enabled(), fills, cudnn.deterministic, cudnn.benchmark


def test_it_holds_for_the_block_alone_whatever_ends_it() -> None:
    before = settings()
    with pytest.raises(ZeroDivisionError), deterministic(True):
        assert settings() == (True, False, True, False)
        raise ZeroDivisionError
    assert settings() == before
    with deterministic(False):
        assert settings() == before


def test_a_run_is_deterministic_from_its_preparation_to_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []
    plain = torch.optim.AdamW.__init__
    monkeypatch.setattr(torch.optim.AdamW, "__init__", lambda *a, **k: (seen.append(settings()[0]), plain(*a, **k))[1])
    assert status("run", *tiny.TINY, f"run.dir={tmp_path / 'run'}") == 0
    assert seen and all(seen) and not settings()[0]


def test_a_workspace_of_cublas_that_is_not_deterministic_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fomo.system.runtime.check_device", lambda device: None)  # whether there is a GPU or not
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    with pytest.raises(FomoError, match=r"CUBLAS_WORKSPACE_CONFIG=:0:0, .*Unset it, or let it be :4096:8 or :16:8"):
        Runtime("cuda")
    Runtime("cuda", deterministic=False)
    Runtime("cpu")
    for allowed in (":4096:8", ":16:8"):
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", allowed)
        Runtime("cuda")


def test_an_operation_without_such_an_algorithm_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("run", *tiny.TINY, *PUTS, f"run.dir={tmp_path / 'run'}") == 2
    said = capsys.readouterr().err
    assert "runtime.deterministic=true: torch has no deterministic algorithm for" in said and "put_" in said
    assert "runtime.deterministic=false, which marks the result" in said and len(said) < 400


def test_it_is_named_before_the_first_step_where_steps_are_tried() -> None:
    prepared = tiny.prepared(*PUTS)
    config = prepared.resolved.config
    before = tiny.snapshot(prepared.model.network)
    with deterministic(True), pytest.raises(fomo.FomoError, match=r"no deterministic algorithm for put_"):
        try_on_device(config, prepared.model, NO_NAMES)
    assert not tiny.changed(before, prepared.model.network.state_dict())
    try_on_device(config, prepared.model, NO_NAMES)  # where nothing is refused, nothing is said


def test_without_it_the_result_is_marked_and_going_on_promises_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = (*tiny.TINY, *PUTS, "runtime.deterministic=false", f"run.dir={tmp_path / 'run'}")

    def stop(*given: object) -> None:
        raise fomo.FomoError("stopped.")

    with monkeypatch.context() as patch:
        patch.setattr("fomo.loop.end", stop)
        assert status("run", *ways) == 2
    capsys.readouterr()
    assert status("run", *ways) == 0
    assert "runtime.deterministic=false it may end in other last bits" in "".join(capsys.readouterr())
    assert "not deterministic" in read_scores(tmp_path / "run").caveats
    assert "not deterministic" not in read_scores(tiny.run(tmp_path / "plain")).caveats


def test_other_errors_are_left_as_they_are() -> None:
    assert refused(RuntimeError("CUDA error: an illegal memory access")) is None
    told = refused(RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set"))
    assert told is not None and "for cumsum_cuda_kernel on this device" in str(told)
    told = refused(RuntimeError("This op does not have a deterministic CUDA implementation"))
    assert told is not None and "for op on" in str(told)


@pytest.mark.gpu
@pytest.mark.parametrize("engine", [(), ("runtime.compile=blocks",), ("runtime.micro_batch=10",)])
def test_the_same_command_gives_the_same_bytes_on_a_gpu(engine: tuple[str, ...], tmp_path: Path) -> None:
    overrides = ("model=pocket", "method=lora_ema", "regularizer=zscl", "runtime.device=cuda", *engine)
    one, other = (tiny.run(tmp_path / name, *overrides) for name in ("a", "b"))
    assert (one / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
    assert (one / "scores.json").read_bytes() == (other / "scores.json").read_bytes()
