"""MFU and HFU, and the table of peaks."""

import json
from pathlib import Path

import pytest

from fomo.system.usage import DENSE_PEAKS, Peak, Usage, energy, listed_peak, measured_peak, peak, utilisation
from tests import tiny


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA B200", 2250),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("AMD Instinct MI300X", 1307.4),
    ],
)
def test_devices_are_found_by_their_names(name: str, teraflops: float) -> None:
    found = listed_peak(name, "bf16")
    assert found and found.flops_per_second == pytest.approx(teraflops * 1e12) and found.source


def test_every_listed_peak_has_a_source_and_unknown_devices_are_measured() -> None:
    assert all(row["source"] for row in DENSE_PEAKS.values())
    assert listed_peak("Some Accelerator 9000", "bf16") is None and listed_peak("NVIDIA B200", "fp32") is None
    assert peak("cpu", "fp32").source == "measured matrix product"
    assert measured_peak("cpu", "bf16", repeats=1) > 1e6


def test_rates_by_hand() -> None:
    rates = utilisation(400, 300, 50, seconds=2.0, best=Peak(1000, "made up"))
    assert (rates["mfu"], rates["hfu"], rates["flops_per_second"], rates["samples_per_second"]) == (0.15, 0.2, 200, 25)


def test_the_clock_stands_still_while_paused() -> None:
    usage = Usage("cpu")
    with usage.paused():
        before = usage.seconds
        sum(range(100_000))
        assert usage.seconds == before
    usage.stop()
    assert usage.seconds > before and (usage.joules is None) == (energy("cpu") is None)


@pytest.mark.parametrize(("checkpointing", "relation"), [("false", "__eq__"), ("true", "__lt__")])
def test_the_card_of_a_run_tells_mfu_and_hfu(checkpointing: str, relation: str, tmp_path: Path) -> None:
    run = tiny.run(tmp_path / "run", "model=pocket_vit", f"runtime.grad_checkpointing={checkpointing}")
    compute = json.loads((run / "card.json").read_text())["compute"]
    assert getattr(compute["mfu"], relation)(compute["hfu"]) and compute["mfu"] > 0
    ledger = json.loads((run / "ledger.json").read_text())
    total = ledger["charged"]["flops"]
    assert compute["flops_per_second"] * compute["training_seconds"] == pytest.approx(total, rel=0.01)
