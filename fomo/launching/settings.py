"""What settings of several launchers mean, checked against what is there."""

import os
from collections.abc import Collection
from typing import Any

from fomo.errors import FomoError, check_allowed
from fomo.system.checks import is_count


def gpus_of_a_run(asked: int | None, there: int, devices: Collection[str]) -> int:
    """How many GPUs each run gets where ``there`` are so many.

    Args:
        asked: ``launcher.gpus_per_run``; ``None``: one, where there are GPUs and a run uses them.
        there: GPUs that can be used.
        devices: The values of ``runtime.device`` in the sweep.

    Raises:
        FomoError: there are fewer than are asked for, or a run asks for one that it would not see.
    """
    given = int(there > 0 and any(device != "cpu" for device in devices)) if asked is None else asked
    if not 0 <= given <= there:
        few = f"there {'is' if there == 1 else 'are'} {there} here"
        way_out = "launcher.gpus_per_run=0 has the runs compute on the CPU."
        raise FomoError(f"launcher.gpus_per_run={asked}: {few}; allowed are 0 to {there}, and null. {way_out}")
    check_devices(given, devices)
    return given


def check_devices(gpus: int, devices: Collection[str]) -> None:
    """Refuse a ``runtime.device`` that a run which sees ``gpus`` GPUs, from 0 on, would not have.

    Raises:
        FomoError: it is named.
    """
    for device in devices:
        if device.startswith("cuda:") or (device == "cuda" and gpus == 0):
            seen = "no GPU" if gpus == 0 else "its own GPUs alone, as cuda:0 and on"
            raise FomoError(f"runtime.device={device}: each run sees {seen} ({gpus} of them). Leave it out.")


def extra_missing(launcher: str, package: str, extra: str) -> FomoError:
    """The error for a launcher whose package is not installed."""
    return FomoError(f"launcher={launcher} needs {package}: pip install 'fomo-bench[{extra}]'.")


def check_counts(least: int, **settings: Any) -> None:
    """Refuse settings of a launcher that are no integers from ``least`` on; ``None`` stands for none.

    Raises:
        FomoError: the first one is named.
    """
    for name, value in settings.items():
        holds = value is None or (is_count(value) and value >= least)
        check_allowed(holds, f"launcher.{name}={value}", f"integers from {least} on")


def threads(number: int) -> dict[str, str]:
    """The variable that gives a run so many threads; what the user has set is kept."""
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(number))}
