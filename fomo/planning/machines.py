"""The machines that estimates are for: what their makers list, what was measured, and what the user says instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fomo.config import factory
from fomo.config.schema import Config, resolve
from fomo.errors import FomoError
from fomo.planning.planner import trial
from fomo.planning.published import published
from fomo.planning.scale import Assumed, Cluster, Rate, Work, estimates
from fomo.results.ledger import GIGA
from fomo.system.apart import apart
from fomo.system.determinism import deterministic
from fomo.system.devices import device_name, listed_rate, measured_peak
from fomo.system.runtime import PRECISIONS

HERE = "here"
MFU = {(False, True): 0.367, (False, False): 0.386, (True, True): 0.419, (True, False): 0.450}
"""What a step reached of the listed peak, by whether it was compiled and deterministic."""
MFU_SOURCE = "measured on an H200: ViT-B/16, 512 rows, bf16, {} (benchmarks/gpu-2026-11-27.txt)"
NETWORK = Assumed(1.25 * GIGA, "assumed: 10 Gb/s Ethernet")
IMAGE = Assumed(80_000, "assumed: JPEGs of about 500 pixels; 15 kB at 224")
TRIED_FLOPS = 5e11
"""Of a step that is tried on a CPU: it takes seconds, not minutes."""
MEASURING_SECONDS = 600.0


@dataclass(frozen=True)
class Machines:
    """What the user says of them; ``None``: listed, measured or assumed.

    Args:
        devices: How many.
        device: A name that :func:`fomo.system.devices.listed_device` returns, or :data:`HERE` for the device at hand.
        mfu: The share of the peak that is reached.
        bandwidth: Bytes per second that a device sends.
        image_bytes: Of an image file, on average.
    """

    devices: int
    device: str
    mfu: float | None = None
    bandwidth: float | None = None
    image_bytes: float | None = None

    def check(self, values: Mapping[str, Any], config: Config) -> None:
        """Refuse more devices than there are rows, and a precision that the maker gives no figure for.

        Args:
            values: A configuration as it is typed.
            config: The same.

        Raises:
            FomoError: it is so.
        """
        rows = min(config.sizes.distinct)
        if self.devices > rows:
            raise FomoError(
                f"--devices={self.devices}: a batch has {rows} rows, and a device takes one at least. Allowed are 1 to "
                f"{rows}, or a larger batch_size."
            )
        precision = _precision_of(values)
        if self.device != HERE and listed_rate(self.device, precision) is None:
            raise FomoError(
                f"--device {self.device}: its maker's figure for {precision} is not in the table. Take "
                "runtime.precision=bf16, or another device."
            )

    def estimated(self, values: Mapping[str, Any], work: Work) -> dict[str, Any]:
        """The estimates for a configuration, and for the published study at the same rate.

        Raises:
            FomoError: the device at hand cannot take the steps that are to be timed.
        """
        config = resolve(values).config if self.device == HERE else None
        name = device_name(config.runtime.device) if config else self.device
        precision = config.runtime.precision if config else _precision_of(values)
        image = IMAGE if self.image_bytes is None else Assumed(self.image_bytes, "--image-kb")
        cluster = Cluster(self.devices, name, self._bandwidth(name), image, PRECISIONS[precision].itemsize)
        rate = self._measured(values, work, config) if config else self._listed(values)
        return estimates(work, cluster, rate) | {"study": published(self.devices, rate)}

    def _bandwidth(self, name: str) -> Assumed:
        """One way of the link between devices of a host, or of the bus; what hosts have where nothing is listed."""
        if self.bandwidth is not None:
            return Assumed(self.bandwidth, "--bandwidth")
        for quantity in ("link", "bus"):
            found = listed_rate(name, quantity)
            if found:
                return Assumed(found[0], f"listed, {quantity}, one way: {found[1]}")
        return NETWORK

    def _listed(self, values: Mapping[str, Any]) -> Rate:
        precision = _precision_of(values)
        listed = listed_rate(self.device, precision)
        assert listed is not None  # else it was refused
        peak = Assumed(listed[0], f"listed, {precision}: {listed[1]}")
        return Rate(peak, _measured_mfu(values["runtime"]) if self.mfu is None else Assumed(self.mfu, "--mfu"))

    def _measured(self, values: Mapping[str, Any], work: Work, config: Config) -> Rate:
        rows = rows_to_try(work, -(-config.batch_size // self.devices), config.runtime.device)
        peak = apart(flops_per_second, (values, rows, work.step_flops * rows / work.batch_size), MEASURING_SECONDS)
        what = f"measured here: steps of {rows} rows" if work.step_flops else "measured here: a matrix product"
        return Rate(Assumed(peak, what))


def _precision_of(values: Mapping[str, Any]) -> str:
    """The precision that a configuration is computed in on a GPU."""
    return "fp32" if values["runtime"]["precision"] == "fp32" else "bf16"


def _measured_mfu(runtime: Mapping[str, Any]) -> Assumed:
    """What was measured under the same settings."""
    is_compiled = bool(runtime["compile"])
    is_deterministic = bool(runtime["deterministic"])
    how = f"{'' if is_compiled else 'not '}compiled, {'' if is_deterministic else 'not '}deterministic"
    return Assumed(MFU[is_compiled, is_deterministic], MFU_SOURCE.format(how))


def rows_to_try(work: Work, rows: int, device: str) -> int:
    """Rows of a step that is timed: a device's share, of which a CPU takes what it can in seconds."""
    if device != "cpu" or not work.step_flops:
        return rows
    return max(1, min(rows, int(TRIED_FLOPS * work.batch_size / work.step_flops)))


def flops_per_second(asked: tuple[Mapping[str, Any], int, float]) -> float:
    """What real steps reach on the device at hand, on random weights and a blank batch.

    Args:
        asked: A configuration, rows of the batch, and FLOPs of a step on it; 0: a matrix product is timed.
    """
    values, rows, flops = asked
    config = resolve(values).config
    if not flops:
        return measured_peak(config.runtime.device, config.runtime.precision)
    with deterministic(config.runtime.deterministic):
        return flops / min(trial(config, factory.model(config, random=True), rows))
