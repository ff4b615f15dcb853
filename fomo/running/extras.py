"""What a finished run's model has besides the base model's weights: parameters of a part's own, and whose they are."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from fomo.model.weights import plain_names
from fomo.results.layout import NETWORK, PARTS, WEIGHTS
from fomo.running.prepared import Prepared
from fomo.system.writing import file_beside
from fomo.training.added import kept_inside


def save_kept_inside(prepared: Prepared, folder: Path) -> None:
    """Write the parameters that parts keep in themselves, if there are some: the network's file has the others."""
    kept = _kept_inside(prepared)
    if kept:
        with file_beside(folder / PARTS) as scratch:
            save_file({name: value.cpu().contiguous() for name, value in kept.items()}, scratch)


def extra_parameters(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """For the card: every tensor that a plain model lacks, with the part that makes it and where it is stored."""
    network = prepared.model.network
    owners = {name: added.part for name, added in prepared.methods.added.items() if name in plain_names(network)}
    file = str(WEIGHTS if prepared.is_plain else NETWORK)
    found = {name: {**_part(prepared, owner), "file": file} for name, owner in owners.items()}
    for name in _kept_inside(prepared):
        owner = next(part for part in prepared.methods.parts if name.startswith(f"{part}."))
        found[name] = {**_part(prepared, owner), "file": str(PARTS)}
    return found


def _kept_inside(prepared: Prepared) -> dict[str, Any]:
    network = prepared.model.network
    guests = {name: part for name, part in prepared.methods.parts.items() if _target(part).split(".")[0] != "methods"}
    return {f"{name}.{key}": p for name, part in guests.items() for key, p in kept_inside(part, network).items()}


def _part(prepared: Prepared, name: str) -> dict[str, Any]:
    return {"part": name, "target": _target(prepared.methods.parts[name])}


def _target(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"
