"""``model=desktop``: EfficientNet-Lite0 and all-MiniLM-L6-v2 as one CLIP model, whose weights the user makes.

They do not ship: ``fomo pretrain model=desktop`` makes them of two packages and of the pool of ``stream=desktop``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fomo.errors import FomoError, check_allowed
from fomo.model.clip import RANDOM_BASE, ClipModel
from fomo.model.conse import CONSE, JoinedClip
from fomo.model.fit import load_fitting
from fomo.model.preprocess import Preprocess, preprocess_of
from fomo.model.sentence import PADDING
from fomo.model.sources import Values, read_config
from fomo.model.stored import Stored, stored_in
from fomo.model.weight_files import read_weights
from fomo.results.layout import WEIGHTS
from fomo.stream.cut_texts import LONGEST_TEXT
from fomo.system.text import first_line

FORM = "fomo_model.json"
"""Architecture and preprocessing beside the weights: not under open_clip's name, for open_clip has no such towers."""
TOKENIZER = "tokenizer.json"
ARCHITECTURE: Values = {
    "embed_dim": 384,
    "vision_cfg": {
        "timm_model_name": "tf_efficientnet_lite0",
        "timm_proj": CONSE,
        "head_width": 1024,
        "image_size": 96,
    },
    "text_cfg": {"context_length": 24, "vocab_size": 30522, "width": 384, "heads": 12, "layers": 6},
}
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
"""The classifier was trained on (value - 127) / 128."""
MAKE = (
    "Its weights do not ship, and are made once: fomo data prepare desktop --out data, "
    "then fomo pretrain model=desktop, which writes pretrained/desktop."
)


def desktop_clip(
    name: str = "desktop", folder: str | Path | None = None, image_size: int | None = None, shapes_only: bool = False
) -> ClipModel:
    """The model of ``stream=desktop``.

    Args:
        name: what tables call it.
        folder: holds its weights: of a finished run, or as ``fomo pretrain`` wrote them. ``None``: random weights, and
            no tokenizer.
        image_size: side of the input images in pixels, where it is not the one it was trained on; any fits.
        shapes_only: whether its tensors are on the meta device, where they have no content.

    Raises:
        FomoError: the weights are not there, or not of this architecture.
    """
    is_size = image_size is None or (type(image_size) is int and image_size >= 32)
    check_allowed(is_size, f"model.image_size={image_size}", "integers from 32")
    stored = None if folder is None or (shapes_only and not Path(folder).is_dir()) else _stored(name, folder)
    architecture, seen = (ARCHITECTURE, published()) if stored is None else _form(stored)
    if image_size is not None:
        architecture = {**architecture, "vision_cfg": {**architecture["vision_cfg"], "image_size": image_size}}
        seen = replace(seen, size=image_size)
    network = built(architecture, "meta" if shapes_only else "cpu")
    if stored is None:
        return wrapped(name, network, seen, architecture, None, (RANDOM_BASE,))
    if not shapes_only:
        path = stored.path / WEIGHTS.name
        try:
            load_fitting(network, read_weights(path), name, False, False)
        except FomoError as error:
            raise FomoError(f"model.folder={folder}: {path}: {error}") from None
    return wrapped(name, network, seen, architecture, stored.path / TOKENIZER, stored.caveats)


def published() -> Preprocess:
    """How the model sees images, unless its weights say otherwise."""
    return Preprocess(ARCHITECTURE["vision_cfg"]["image_size"], MEAN, STD)


def _stored(name: str, folder: str | Path) -> Stored:
    if not Path(folder).expanduser().is_dir():
        raise FomoError(f"model.folder={folder}: there is no such folder, and '{name}' needs one. {MAKE}")
    stored = stored_in(folder)
    missing = [each for each in (FORM, TOKENIZER, WEIGHTS.name) if not (stored.path / each).is_file()]
    if missing:
        raise FomoError(f"model.folder={folder}: it holds no {', no '.join(missing)}: no weights of '{name}'. {MAKE}")
    return stored


def _form(stored: Stored) -> tuple[Values, Preprocess]:
    architecture, preprocess = read_config(stored.path, FORM)
    size = architecture["vision_cfg"].get("image_size")
    return architecture, preprocess_of({**preprocess, "size": size}, str(stored.path / FORM))


def built(architecture: Mapping[str, Any], device: str = "cpu") -> JoinedClip:
    """The network of an architecture like :data:`ARCHITECTURE`, with seeded random weights.

    Raises:
        FomoError: it is of another kind.
    """
    vision = architecture["vision_cfg"]
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(0)
            return JoinedClip(architecture["embed_dim"], vision, architecture["text_cfg"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FomoError(f"{FORM}: no architecture of two joined towers ({type(error).__name__}: {error}).") from None


def wrapped(
    name: str,
    network: JoinedClip,
    seen: Preprocess,
    architecture: Values,
    tokenizer: Path | None,
    caveats: tuple[str, ...] = (),
) -> ClipModel:
    """The network with what belongs to it.

    Args:
        name: what tables call it.
        network: the two towers.
        seen: how images are normalised.
        architecture: of the network.
        tokenizer: its file; ``None``: the model reads no text.
        caveats: what its scores have to be read with.
    """
    tokenize = NoTokenizer() if tokenizer is None else SentenceTokenizer(tokenizer, network.context_length)
    return ClipModel(name, network, tokenize, seen, caveats, architecture, tokenizer, FORM)


class SentenceTokenizer:
    """Texts to tokens by a file of Hugging Face's ``tokenizers``; no network is asked.

    Raises:
        FomoError: the package is missing, or the file is none of its.
    """

    def __init__(self, path: Path, context_length: int) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise FomoError(
                "'desktop' reads texts by the package tokenizers: pip install 'fomo-bench[desktop]'"
            ) from None
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # its own kind, without a name
            raise FomoError(f"'{path}' is no tokenizer ({first_line(error)}).") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._context_length = context_length

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        """Tokens of the beginnings of strings, int64 [n, context]; the last token of a longer one is the end's."""
        length = context_length or self._context_length
        tokens = torch.full((len(texts), length), PADDING)
        for row, text in zip(tokens, texts, strict=True):
            ids = self._tokenizer.encode(text[:LONGEST_TEXT]).ids
            kept = ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]
            row[: len(kept)] = torch.tensor(kept)
        return tokens


class NoTokenizer:
    """Stands where a model on random weights has no tokenizer: that lies beside the weights."""

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        """Refuse.

        Raises:
            FomoError: always.
        """
        raise FomoError(f"'desktop' on random weights reads no text: its tokenizer lies beside its weights. {MAKE}")
