"""Seconds, MFU and HFU."""

import json
from functools import partial
from pathlib import Path

import pytest

from fomo.system import usage as usages
from fomo.system.devices import Peak
from fomo.system.ranks import exchanged, own_share, world
from fomo.system.usage import Usage, energy, utilisation
from fomo.testing.processes import on_ranks
from tests import tiny


def test_rates_by_hand() -> None:
    rates = utilisation(400, 300, 50, seconds=2.0, best=Peak(1000, "made up"))
    assert (rates["mfu"], rates["hfu"], rates["flops_per_second"], rates["samples_per_second"]) == (0.15, 0.2, 150, 25)


def test_the_clock_stands_still_while_paused() -> None:
    usage = Usage("cpu")
    with usage.paused():
        before = usage.seconds
        sum(range(100_000))
        assert usage.seconds == before
    usage.stop()
    assert usage.seconds > before and (usage.joules is None) == (energy("cpu") is None)


@pytest.mark.parametrize(("read", "joules"), [([5.0, 7.5], 2.5), ([5.0, None], None), ([None, 9.0], None)])
def test_a_device_that_falls_silent_gives_no_figure(
    read: list[float | None], joules: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fomo.system.usage.energy", lambda device: read.pop(0))
    usage = Usage("cpu")
    usage.stop()
    assert usage.joules == joules


def test_a_counter_that_begins_again_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = tmp_path / "energy_uj"
    monkeypatch.setattr("fomo.system.usage.RAPL", counter)
    (tmp_path / "max_energy_range_uj").write_text("262143328850\n")
    counter.write_text("262143000000\n")
    usage = Usage("cpu")
    counter.write_text("1000000\n")
    usage.stop()
    assert usage.joules == pytest.approx(1 + 0.32885, abs=1e-3)
    (tmp_path / "max_energy_range_uj").unlink()
    usage = Usage("cpu")
    counter.write_text("0\n")
    usage.stop()
    assert usage.joules is None


@pytest.mark.parametrize(("checkpointing", "relation"), [("false", "__eq__"), ("true", "__lt__")])
def test_the_card_of_a_run_tells_mfu_and_hfu(checkpointing: str, relation: str, tmp_path: Path) -> None:
    """Of the run, and of each stretch of one batch size; the page shows it."""
    ramp = "batch_ramp=[[48,30]]"
    run = tiny.run(tmp_path / "run", "model=pocket", ramp, f"runtime.grad_checkpointing={checkpointing}")
    compute = json.loads((run / "card.json").read_text())["compute"]
    assert getattr(compute["mfu"], relation)(compute["hfu"]) and compute["mfu"] > 0
    ledger = json.loads((run / "ledger.json").read_text())
    total = ledger["charged"]["flops"]
    assert compute["flops_per_second"] * compute["training_seconds"] == pytest.approx(total, rel=0.01)
    stages = compute["stages"]
    assert [(each["batch_size"], each["steps"]) for each in stages] == [(24, 2), (30, 4)]
    assert all(sum(each["shares"].values()) == pytest.approx(1) for each in stages)
    assert all(each["shares"][phase] > 0 for each in stages for phase in ("data", "forward", "backward", "evaluation"))
    assert all(getattr(each["mfu"], relation)(each["hfu"]) and each["peak_source"] for each in stages)
    assert sum(each["flops_per_second"] * each["training_seconds"] for each in stages) == pytest.approx(total, rel=0.01)
    assert all(each["shares"]["checkpoint"] > 0 for each in stages) and compute["start_seconds"] > 0
    page = (run / "report.html").read_text()
    assert "Where the time went" in page and "<bdi>checkpoint</bdi></th>" in page


def _joules(device: str) -> tuple[float | None, list[float]]:
    """What two processes have used together, and each when it goes on from a checkpoint of two or three."""
    usage = Usage("cpu")
    usage._joules, usage._tells_energy = 1.0 + world().rank, True
    kept = exchanged(usage.state_dict()["joules"])[0]
    usage._device = device
    usage.add_other_ranks()
    return usage.joules, [own_share(kept) > world().rank, own_share([2.0, 3.0, 4.0])]


@pytest.mark.parametrize(("device", "joules"), [("cpu", 2.0), ("cuda", 3.0)])
def test_each_device_of_several_processes_counts_once(
    device: str, joules: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counter of a CPU is its host's; a GPU has its own."""
    monkeypatch.setattr(usages, "energy", lambda device: 5.0)
    assert on_ranks(2, partial(_joules, device)) == [(joules, [True, 4.5])] * 2
