"""Reads a file of weights of others: tensors by name, whatever wraps them, and no code."""

import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from fomo.errors import FomoError
from fomo.system.text import first_line

WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "clip.", "clip_model.")
"""What DDP, torch.compile and trainers put before every name."""
OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's state dicts hold beside the weights."""
PREFERRED = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)
"""Names of weights in a folder that open_clip wrote, the first that is there."""
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
AVERAGED = "n_averaged"
"""What torch's ``AveragedModel`` counts beside the weights, which it calls ``module.…``."""
DEEPEST = 5
"""Levels of dictionaries around the tensors that are looked through."""

State = dict[str, Tensor]


def read_weights(path: Path) -> State:
    """The tensors of a file by name: safetensors, or what ``torch.save`` wrote of tensors alone.

    A single dictionary of tensors in a training checkpoint is taken out of it, and the prefixes that DDP and
    torch.compile put before names are taken off.

    Raises:
        FomoError: the file cannot be read, holds code, no tensors, or several dictionaries of tensors.
    """
    return _unwrapped(_innermost(_content(path)))


def weights_in(folder: Path) -> Path:
    """The file of weights in the folder of a model.

    Raises:
        FomoError: there is none, or several without one of open_clip's names.
    """
    found = sorted(path.name for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    preferred = [name for name in PREFERRED if name in found]
    if not found:
        raise FomoError(f"no weights in '{folder}': a file that ends with {', '.join(SUFFIXES)} is expected.")
    if not preferred and len(found) > 1:
        raise FomoError(f"several weights in '{folder}': {', '.join(found[:3])}. Call one {PREFERRED[0]}.")
    return folder / (preferred or found)[0]


def _content(path: Path) -> Any:
    if not path.is_file():
        raise FomoError("it is not a file.")
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if not start:
            raise FomoError("the file is empty.")
        if start[8:] == b"{":
            return load_file(path)
        _refuse_torchscript(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FomoError:
        raise
    except Exception as error:  # whatever a damaged or hostile file makes the readers raise
        raise FomoError(
            f"no file of tensors ({_reason(error)}). "
            "Save the tensors alone: torch.save(model.state_dict(), FILE), or safetensors."
        ) from error


def _refuse_torchscript(path: Path) -> None:
    """A TorchScript archive is a program; OpenAI published its weights so."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = [os.path.basename(name) for name in archive.namelist()]
    if "constants.pkl" in names:
        raise FomoError(
            "it is a TorchScript archive, a program. If you trust it, save its tensors: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt'). "
            "OpenAI's own have QuickGELU (model=…-quickgelu)."
        )


def _reason(error: Exception) -> str:
    if "weights_only" in str(error).lower() or "Unsupported" in str(error):
        return "it holds more than tensors, and code in files of weights is not run"
    return first_line(error)


def _innermost(content: Any) -> Mapping[str, Any]:
    """The one dictionary of tensors in what was stored."""
    if not isinstance(content, Mapping):
        raise FomoError(f"it holds a {type(content).__name__}, not tensors by name.")
    sets = dict(_sets(content))
    largest = max(map(_size, sets.values()), default=0)
    rivals = {where: each for where, each in sets.items() if 2 * _size(each) > largest}  # no generator's state
    if not rivals:
        raise FomoError(f"it holds no tensors by name: its keys are {_shown(content) or 'none'}.")
    if len(rivals) > 1:
        raise FomoError(f"it holds several sets of weights: {_shown(rivals)}. Save the one that you mean alone.")
    return next(iter(rivals.values()))


def _sets(content: Any, where: str = "", depth: int = DEEPEST) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The dictionaries of tensors in what was stored, with the keys that lead there; what optimizers keep is none."""
    if _is_state(content):
        yield where, content
    elif isinstance(content, Mapping) and depth:
        for key, value in content.items():
            if not str(key).startswith("optim"):
                yield from _sets(value, f"{where}.{key}".lstrip("."), depth - 1)


def _size(state: Mapping[str, Any]) -> int:
    """How many tensors there are."""
    return sum(isinstance(each, Tensor) for each in state.values())


def _is_state(content: Any) -> bool:
    """Whether most values are tensors: a state dict may hold a number or two beside them."""
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return False
    return 2 * sum(isinstance(value, Tensor) for value in content.values()) > len(content)


def _unwrapped(content: Mapping[str, Any]) -> State:
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor) and key != AVERAGED}
    state = {key.replace("_orig_mod.", ""): value for key, value in tensors.items()}
    if len(state) < len(tensors):
        raise FomoError("it holds several sets of weights, one of them compiled (_orig_mod.). Save one alone.")
    while prefix := next((each for each in WRAPPERS if all(key.startswith(each) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _shown(names: Mapping[Any, Any]) -> str:
    listed = [first_line(name, 40) for name in names]
    return ", ".join(listed[:3]) + (f", … ({len(listed)} in all)" if len(listed) > 3 else "")
