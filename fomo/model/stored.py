"""Weights that were made here and are a base of the next run: of a finished run, or of ``fomo pretrain``.

A run stores its deployed weights beside the configuration that they belong to, in open_clip's form, so that open_clip
itself reads the folder too (``local-dir:RUN/checkpoint``).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.model.clip import RANDOM_BASE, ClipModel
from fomo.results.card import read_card
from fomo.results.layout import CARD, CHECKPOINTS, NETWORK, WEIGHTS
from fomo.results.layout import CONFIG as RUN_CONFIG
from fomo.system.writing import write_bytes, write_json

EXPECTED = "expected is the folder of a finished run, or one that `fomo pretrain` wrote"


def write_form(folder: Path, model: ClipModel) -> None:
    """Write what belongs to the weights that lie in ``folder``: architecture, preprocessing, merges of its own.

    Nothing is written for a model whose architecture is not known: one that a guest built.
    """
    if model.architecture:
        write_json(
            folder / model.form, {"model_cfg": dict(model.architecture), "preprocess_cfg": asdict(model.preprocess)}
        )
    if model.merges is not None:
        write_bytes(folder / model.merges.name, model.merges.read_bytes())


@dataclass(frozen=True)
class Stored:
    """Where the weights of ``model.folder`` lie, whether a run stored them, and what its base has to be read with."""

    path: Path
    of_run: bool = False
    caveats: tuple[str, ...] = ()


def stored_in(folder: str | Path) -> Stored:
    """What ``model.folder`` names.

    Raises:
        FomoError: the folder is not there, or the run in it is not finished.
    """
    given = Path(folder).expanduser()
    if not given.is_dir():
        raise FomoError(f"model.folder={folder}: there is no such folder; {EXPECTED}.")
    if not (given / RUN_CONFIG).is_file():
        return Stored(given)
    if (given / NETWORK).is_file():
        raise FomoError(f"model.folder={folder}: the run in it deploys more than plain weights: it is no base model.")
    if not (given / CARD).is_file() or not (given / WEIGHTS).is_file():
        raise FomoError(f"model.folder={folder}: the run in it is not finished, or its {WEIGHTS} is gone. Finish it.")
    return Stored(given / CHECKPOINTS, True, caveats_of(given / WEIGHTS))


def caveats_of(weights: Path) -> tuple[str, ...]:
    """What results on a file of weights have to be read with, where it lies in the folder of a finished run.

    It may be one that the run stored, or an export of it.
    """
    above = weights.absolute().parents[:3]
    run = next((each for each in above if all((each / name).is_file() for name in (RUN_CONFIG, CARD))), None)
    return () if run is None else tuple(each for each in read_card(run).caveats if each == RANDOM_BASE)


def check_same(folder: str | Path, name: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Refuse stored weights of another architecture than that of the model ``name``.

    Raises:
        FomoError: the first three values that differ are named.
    """
    keys = [f"{part}.{key}" for part in ("vision_cfg", "text_cfg") for key in {**here[part], **there.get(part, {})}]
    differing = [key for key in ("embed_dim", *keys) if _at(here, key) != _at(there, key)]
    differing += ["quick_gelu"] if bool(here.get("quick_gelu")) != bool(there.get("quick_gelu")) else []
    if differing:
        shown = ", ".join(f"{key} is {_at(there, key)} there and {_at(here, key)} here" for key in differing[:3])
        raise FomoError(
            f"model.folder={folder}: of another architecture than '{name}': {shown}. Choose its model=NAME."
        )


def _at(values: Mapping[str, Any], key: str) -> Any:
    part, _, inner = key.rpartition(".")
    return (values.get(part, {}) if part else values).get(inner)
