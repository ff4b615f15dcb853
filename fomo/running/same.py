"""Whether all ranks of a run are about to run the same."""

from pathlib import Path
from typing import Any

import torch

from fomo import version
from fomo.errors import FomoError
from fomo.results.config_file import differences
from fomo.running.known import MODULES, version_of
from fomo.running.prepared import Prepared
from fomo.system.devices import device_name
from fomo.system.digest import file_digest, json_digest
from fomo.system.ranks import exchanged, world


def check_same_run(prepared: Prepared) -> None:
    """Refuse ranks with another configuration, other code, data, weights or devices than the first, or without a row.

    Raises:
        FomoError: a rank differs; what differs is named.
    """
    here = world()
    if here.size == 1:
        return
    _check_rows(prepared)
    of_first, *others = exchanged(_identity(prepared))
    for rank, found in enumerate(others, start=1):
        changed = differences(of_first, found)
        if changed:
            shown = "; ".join(changed[:5]) + ("; …" if len(changed) > 5 else "")
            raise FomoError(
                f"rank {rank} is not about to run what rank 0 is ({shown}): start all with the same command, from the "
                "same code and data, on devices of one kind."
            )


def _check_rows(prepared: Prepared) -> None:
    config = prepared.resolved.config
    size = world().size
    least = min(config.sizes.distinct)
    if least < size:
        raise FomoError(
            f"batch_size={least} with {size} processes: each needs a row of every batch at least. Give "
            f"--nproc-per-node so that there are {least} processes at most, or a larger batch_size."
        )


def _identity(prepared: Prepared) -> dict[str, Any]:
    """What the ranks have to share, as names and hashes."""
    device = prepared.resolved.config.runtime.device
    return {
        **prepared.identity,
        "device": device_name(device),
        "versions": {name: version_of(name) for name in MODULES},
        "sources": sources_sha256(),
        "precision": str(torch.get_default_dtype()),
    }


def sources_sha256() -> str:
    """Hash of the benchmark's own code as it lies on this host."""
    home = Path(version.__file__).parents[1]
    files = sorted(file for package in ("fomo", "methods", "streams") for file in (home / package).rglob("*.py"))
    return json_digest([[str(file.relative_to(home)), file_digest(file)] for file in files])
