"""The table of peaks, and what is measured where it has none."""

import pytest
import torch

from fomo.system.devices import DENSE_PEAKS, listed_rate, measured_peak, peak
from fomo.system.runtime import Runtime


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
    found = listed_rate(name, "bf16")
    assert found and found[0] == pytest.approx(teraflops * 1e12) and found[1]


def test_every_listed_rate_has_a_source_and_unknown_devices_are_measured() -> None:
    assert all(rates["source"] for rates in DENSE_PEAKS.values())
    assert listed_rate("Some Accelerator 9000", "bf16") is None and listed_rate("NVIDIA B200", "fp32") is None
    assert peak("cpu", "fp32").source == "measured matrix product"
    assert measured_peak("cpu", "bf16", repeats=1) > 1e6


@pytest.mark.parametrize(("is_there", "device", "precision"), [(True, "cuda", "bf16"), (False, "cpu", "fp32")])
def test_auto_is_the_gpu_where_there_is_one(
    is_there: bool, device: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(torch, "empty", lambda size, device: None)  # whether it can be used is another question
    runtime = Runtime("auto")
    assert (runtime.device, runtime.precision) == (device, precision)
