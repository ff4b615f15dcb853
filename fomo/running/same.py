"""Whether all ranks of a run are about to run the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fomo import version
from fomo.config.schema import Config, Resolved
from fomo.errors import FomoError
from fomo.results.config_file import differences
from fomo.running.known import MODULES, version_of
from fomo.running.prepared import Prepared
from fomo.system.devices import device_name
from fomo.system.digest import file_digest, json_digest
from fomo.system.ranks import exchanged, world
from fomo.training.micro_batches import dropping


def check_same_jobs(jobs: Sequence[Resolved]) -> None:
    """Refuse ranks that are asked for other runs than the first, or run other code, and runs without a row for each.

    Raises:
        FomoError: a rank differs; what differs is named.
    """
    if world().size == 1:
        return
    for each in jobs:
        _check_rows(each.config)
    versions = {name: version_of(name) for name in MODULES}
    values = {f"run {number}": each.values for number, each in enumerate(jobs, start=1)}
    _check_same({"sources": sources_sha256(), "versions": versions, **values})


def check_same_run(prepared: Prepared) -> None:
    """Refuse ranks with other data, weights, code of others or devices than the first.

    Raises:
        FomoError: a rank differs; what differs is named.
    """
    if world().size > 1:
        _check_dropout(prepared)
        device = device_name(prepared.resolved.config.runtime.device)
        _check_same({**prepared.identity, "device": device})


def _check_same(identity: Mapping[str, Any]) -> None:
    of_first, *others = exchanged(identity)
    for rank, found in enumerate(others, start=1):
        changed = differences(of_first, found)
        if changed:
            shown = "; ".join(changed[:5]) + ("; …" if len(changed) > 5 else "")
            raise FomoError(
                f"rank {rank} is not about to run what rank 0 is ({shown}): start all with the same command, from the "
                "same code and data, on devices of one kind."
            )


def _check_rows(config: Config) -> None:
    size = world().size
    least = min(config.sizes.distinct)
    if least < size:
        raise FomoError(
            f"batch_size={least} with {size} processes: each needs a row of every batch at least. Give "
            f"--nproc-per-node so that there are {least} processes at most, or a larger batch_size."
        )


def _check_dropout(prepared: Prepared) -> None:
    found = dropping(prepared.model.network)
    if found:
        raise FomoError(
            f"{found} at random, each of {world().size} processes other entries than one would: take a model without "
            "dropout, or start the run without torchrun."
        )


def sources_sha256() -> str:
    """Hash of the benchmark's own code as it lies on this host."""
    home = Path(version.__file__).parents[1]
    files = sorted(file for package in ("fomo", "methods", "streams") for file in (home / package).rglob("*.py"))
    return json_digest([[str(file.relative_to(home)), file_digest(file)] for file in files])
