"""The two towers as their packages hold them, under the names of our network."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fomo.errors import FomoError
from fomo.model.weight_files import State, read_weights
from fomo.system.writing import write_bytes
from streams.desktop.archives import members

CLASSIFIER = ".pth"
ENCODER = "/model/model.safetensors"
TOKENIZER = "/model/tokenizer.json"
BLOCKS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage of EfficientNet-Lite0, which its file counts through."""
OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Of the first block, which has no expansion."""
LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "output.LayerNorm": "mlp_norm",
}
"""Parts of a layer of BERT, as Hugging Face calls them and as we do."""


def tensors_in(archive: Path, ending: str) -> State:
    """The tensors of the one file of an archive whose name has this ending.

    Raises:
        FomoError: there is none, or it holds more than tensors.
    """
    data = member(archive, ending)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        write_bytes(path, data)
        try:
            return read_weights(path)
        except FomoError as error:
            raise FomoError(f"'{archive}', *{ending}: {error}") from None


def member(archive: Path, ending: str) -> bytes:
    """The content of the first file of an archive whose name has this ending.

    Raises:
        FomoError: there is none.
    """
    found = next((data for _, data in members(archive, lambda name: name.endswith(ending))), None)
    if found is None:
        raise FomoError(f"'{archive}' holds no file *{ending}.")
    return found


def classifier_state(state: Mapping[str, Tensor]) -> State:
    """Weights of ``efficientnet_lite_pytorch`` under the names that timm's ``tf_efficientnet_lite0`` has.

    Raises:
        FomoError: a name is unknown.
    """
    return {_timm_name(name): value for name, value in state.items()}


def _timm_name(name: str) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    part, _, leaf = name.rpartition(".")
    if block is None and part in OUTER:
        return f"{OUTER[part]}.{leaf}"
    if block is not None:
        number = int(block[1])
        table = EXPANDED if number else PLAIN
        if block[2] in table and number < sum(BLOCKS):
            return f"blocks.{_stage(number)}.{table[block[2]]}.{block[3]}"
    raise FomoError(f"weights of the classifier: '{name}' is no part of EfficientNet-Lite0.")


def _stage(number: int) -> str:
    """Stage and block in it, of a block that is counted through."""
    for stage, blocks in enumerate(BLOCKS):
        if number < blocks:
            return f"{stage}.{number}"
        number -= blocks
    raise IndexError(number)


def encoder_state(state: Mapping[str, Tensor], context_length: int) -> State:
    """Weights of Hugging Face's BERT under our names, the first positions alone, the one kind of segment added to them.

    Raises:
        FomoError: a name is unknown or missing.
    """
    rest = {name: value for name, value in state.items() if name.startswith("encoder.")}
    try:
        positions = state["embeddings.position_embeddings.weight"][:context_length]
        made = {
            "word_embedding.weight": state["embeddings.word_embeddings.weight"],
            "position_embedding.weight": positions + state["embeddings.token_type_embeddings.weight"][0],
            "embedding_norm.weight": state["embeddings.LayerNorm.weight"],
            "embedding_norm.bias": state["embeddings.LayerNorm.bias"],
        }
    except KeyError as error:
        raise FomoError(f"weights of the sentence encoder: {error} is missing; it is no BERT.") from None
    return made | {_layer_name(name): value for name, value in rest.items()}


def _layer_name(name: str) -> str:
    found = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)", name)
    if found is None or found[2] not in LAYER:
        raise FomoError(f"weights of the sentence encoder: '{name}' is no part of BERT's encoder.")
    return f"layers.{found[1]}.{LAYER[found[2]]}.{found[3]}"
