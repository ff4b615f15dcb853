"""The table of peaks, and what is measured where it has none."""

import re

import pytest
import torch

from fomo.errors import FomoError
from fomo.system.devices import (
    DENSE_PEAKS,
    check_device,
    listed_device,
    listed_rate,
    measured_peak,
    peak,
    usable_devices,
)
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


@pytest.mark.parametrize(
    ("typed", "name"), [("h100", "H100"), ("H100 pcie", "H100 PCIe"), ("a100-80gb", "A100 80GB"), ("mi300x", "MI300X")]
)
def test_a_listed_device_is_named_in_any_capitals(typed: str, name: str) -> None:
    assert listed_device(typed) == name and listed_rate(name, "bf16")


def test_a_device_has_no_figure_of_another_whose_name_is_a_part_of_its() -> None:
    assert listed_rate("H100", "link") and listed_rate("H100 PCIe", "link") is None


@pytest.mark.parametrize("typed", ["h1000", "", "a100.*80gb", "cuda"])
def test_a_device_that_is_not_listed_is_refused_with_those_that_are(typed: str) -> None:
    with pytest.raises(FomoError, match=f"unknown device '{re.escape(typed)}'.*Allowed: A100, A100 80GB, B200.*here"):
        listed_device(typed)


def gpus(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with so many."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)


ABSENT = ["cuda", "cuda:7", "cuda:-1", "cuda:x", "mps", "xpu", "hpu", "vulkan", "lazy", "meta"]
NONSENSE = ["cpu:0", "CPU", "gpu", "", 0, None]


@pytest.mark.parametrize("device", [*ABSENT, *NONSENSE])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(0, monkeypatch)
    with pytest.raises(FomoError) as refused:
        Runtime(device)
    said = str(refused.value)
    assert said.startswith(f"runtime.device={device}: there is no such device here.") and "Take auto or cpu." in said
    assert "fomo doctor" in said and len(said) < 300


@pytest.mark.parametrize(
    ("device", "nearest"), [("cuda:7", "cuda:1"), ("cuda:2", "cuda:1"), ("cuda:00", "cuda:0"), ("Cuda", "cuda")]
)
def test_of_several_gpus_the_nearest_is_named(device: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(2, monkeypatch)
    assert usable_devices()[:4] == ["cpu", "cuda", "cuda:0", "cuda:1"]
    with pytest.raises(FomoError, match=rf"Did you mean '{nearest}'\? Take auto, cpu, cuda, cuda:0 or cuda:1"):
        check_device(device)


def test_a_gpu_that_is_there_and_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*size: int, device: str) -> torch.Tensor:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore")

    gpus(1, monkeypatch)
    monkeypatch.setattr(torch, "empty", busy)
    with pytest.raises(
        FomoError, match=r"cuda:0: it is there, and cannot be used \(CUDA error: all .* unavailable\)\."
    ):
        Runtime("cuda:0")


@pytest.mark.parametrize(("is_there", "device", "precision"), [(True, "cuda", "bf16"), (False, "cpu", "fp32")])
def test_auto_is_the_gpu_where_there_is_one(
    is_there: bool, device: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(int(is_there), monkeypatch)
    monkeypatch.setattr(torch, "empty", lambda size, device: None)  # whether it can be used is another question
    runtime = Runtime("auto")
    assert (runtime.device, runtime.precision) == (device, precision)
