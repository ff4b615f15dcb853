"""Any open_clip model with the softmax CLIP loss, by its name and the tag, file or place of its weights."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from fomo.errors import FomoError, check_allowed
from fomo.model.agreement import check_agreement, check_state
from fomo.model.clip import RANDOM_BASE, ClipModel, tokens_of
from fomo.model.fit import load_fitting
from fomo.model.names import LOCAL, UNSAID
from fomo.model.options import Options
from fomo.model.preprocess import Preprocess, preprocess_of
from fomo.model.sources import (
    CONFIG,
    Origin,
    Values,
    disputed,
    fetched,
    folder_of,
    model_config,
    origin_of,
    read_config,
    without_warnings,
)
from fomo.model.stored import caveats_of, stored_in
from fomo.model.weight_files import read_weights
from fomo.results.layout import WEIGHTS
from fomo.system.text import first_line

_log = logging.getLogger(__name__)


def pretrained_clip(
    name: str,
    pretrained: str | None = UNSAID,
    image_size: int | None = None,
    context_length: int | None = None,
    quick_gelu: bool | None = None,
    preprocess: Mapping[str, Any] | None = None,
    folder: str | None = None,
    shapes_only: bool = False,
) -> ClipModel:
    """An open_clip model with its weights, and with the preprocessing and the tokenizer that belong to them.

    Args:
        name: one of open_clip's names, ``local-dir:FOLDER`` or ``hf-hub:OWNER/NAME``.
        pretrained: a tag of the name, a file, a place like those of ``name``; ``None`` means seeded random weights.
        image_size: side of the input images in pixels, where it is not the model's own; positions are interpolated.
        context_length: tokens of a string, where they are not the model's own; positions are interpolated.
        quick_gelu: whether the activation is QuickGELU, where neither the name nor the weights say it.
        preprocess: values of :data:`fomo.model.preprocess.KEYS` that are not what the weights say.
        folder: holds the weights in place of ``pretrained``: of a finished run, or of open_clip's form.
        shapes_only: whether to build it on the meta device, without weights and their download.

    Raises:
        FomoError: unknown names and values; another loss; weights that are not given, cannot be read or do not fit;
            a property of the weights that the model contradicts.
    """
    options = Options(image_size, context_length, quick_gelu)
    config = model_config(name)
    _refuse_other_losses(name, config)
    _check_image_size(config, options)
    stored = None if folder is None else stored_in(folder)
    if stored is not None:
        _refuse_two_weights(folder, name, pretrained)
        pretrained = str(stored.path / WEIGHTS.name) if stored.of_run else f"{LOCAL}{stored.path}"
    if pretrained == UNSAID and not shapes_only:
        raise FomoError(_unsaid(name))
    origin = None if pretrained in (None, UNSAID) else origin_of(name, str(pretrained))
    if origin is not None:
        check_agreement(name, config, origin, options)
    with _explained(name, pretrained):
        network = _network(name, config, options, "meta" if shapes_only else "cpu")
        if origin is not None and not shapes_only:
            _load(network, name, str(pretrained), origin, options)
        if image_size is not None and _is_timm(config):
            network.visual.set_input_size(image_size)  # interpolates timm's positions once the weights are in
        merges = _own_merges(name, config)
        tokenizer = _tokenizer(name, context_length, merges)
        _check_vocabulary(tokenizer, config)
    seen = _preprocess(name, network, origin).with_options(preprocess or {})
    if not shapes_only:
        _mention_guesses(name, origin, seen, preprocess or {})
    path = None if origin is None else origin.path
    caveats = (RANDOM_BASE,) if pretrained is None else () if path is None else caveats_of(path)
    return ClipModel(name, network, partial(tokens_of, tokenizer), seen, caveats, _as_built(config, options), merges)


def _own_merges(name: str, config: Values) -> Path | None:
    """The file of the byte pairs that a tokenizer of its own merges: it lies beside the configuration that names it."""
    named = (config["text_cfg"].get("tokenizer_kwargs") or {}).get("bpe_path")
    folder = folder_of(name)
    if named is None or folder is None:
        return None
    path = folder / Path(str(named)).name
    if not path.is_file():
        raise FomoError(f"{folder / CONFIG} names the merges '{named}' of its tokenizer, which are not beside it.")
    return path


def _tokenizer(name: str, context_length: int | None, merges: Path | None) -> Any:
    local = f"{LOCAL}{folder_of(name)}" if name.startswith(LOCAL) else name
    own = {} if merges is None else {"bpe_path": str(merges)}
    return open_clip.get_tokenizer(local, context_length=context_length, **own)


def _check_vocabulary(tokenizer: Any, config: Values) -> None:
    """Refuse tokens that the text tower has no row for: the first evaluation would end in them."""
    number = tokenizer.vocab_size if isinstance(tokenizer, open_clip.SimpleTokenizer) else 0
    rows = CLIPTextCfg(**config["text_cfg"]).vocab_size
    if number > rows:
        raise FomoError(
            f"its tokenizer makes {number:,} tokens and its text tower knows {rows:,}. A tokenizer with merges of its "
            f'own is named in {CONFIG}: text_cfg.tokenizer_kwargs = {{"bpe_path": "FILE"}}, which lies beside it.'
        )


def _mention_guesses(name: str, origin: Origin | None, seen: Preprocess, said: Mapping[str, Any]) -> None:
    """Say how images are taken to be seen where nothing tells and published weights of the model differ in it."""
    if origin is None or origin.preprocess or origin.model is not None:
        return
    guessed = [key for key in disputed(name) if said.get(key) is None]
    if guessed:
        values = {key: list(value) if isinstance(value := getattr(seen, key), tuple) else value for key in guessed}
        taken = ", ".join(f"model.preprocess.{key}={value}".replace(" ", "") for key, value in values.items())
        about = f"{origin.path} does not tell how its images are seen, and weights of '{name}' differ in it"
        _log.warning("%s. Taken is %s.", about, taken)


def _refuse_two_weights(folder: str | None, name: str, pretrained: str | None) -> None:
    if pretrained not in (UNSAID, name):
        raise FomoError(f"model.folder={folder} and model.pretrained={pretrained} both say which weights: give one.")


def _as_built(config: Values, options: Options) -> Values:
    """The configuration with what the user said otherwise."""
    vision = {} if options.image_size is None else {"image_size": options.image_size}
    text = {} if options.context_length is None else {"context_length": options.context_length}
    activation = {} if options.quick_gelu is None else {"quick_gelu": options.quick_gelu}
    parts = {"vision_cfg": {**config["vision_cfg"], **vision}, "text_cfg": {**config["text_cfg"], **text}}
    return {**config, **activation, **parts}


def _unsaid(name: str) -> str:
    tags = open_clip.list_pretrained_tags_by_model(name)
    shown = f" ({', '.join(tags[:5])}{', …' if len(tags) > 5 else ''})" if tags else ""
    return (
        f"model.pretrained is not given: '{name}' has no weights of its own. "
        f"Write model.pretrained=TAG{shown}, =FILE, or =null for random weights on purpose."
    )


def _refuse_other_losses(name: str, config: Mapping[str, Any]) -> None:
    if "multimodal_cfg" in config:
        raise FomoError(
            f"model '{name}' has a captioning decoder (CoCa). Only towers with the softmax CLIP loss are supported."
        )
    if "init_logit_bias" in config:
        raise FomoError(
            f"model '{name}' is trained with the sigmoid loss (SigLIP). Only the softmax CLIP loss is supported."
        )


@contextmanager
def _explained(name: str, pretrained: str | None) -> Iterator[None]:
    """Say what was built when an error comes, in one line, whatever a library says."""
    start = f"could not build '{name}' with pretrained='{pretrained}'"
    try:
        yield
    except FomoError as error:
        raise FomoError(f"{start}: {error}") from error
    except Exception as error:  # the libraries' readers and downloads raise what they please
        raise FomoError(f"open_clip {start}: {first_line(error).rstrip('.')}.") from error


def _network(name: str, config: Values, options: Options, device: str) -> CLIP:
    """The architecture with seeded random weights."""
    folder = folder_of(name)
    side = None if _is_timm(config) else options.image_size
    forced = {} if options.quick_gelu is None else {"quick_gelu": options.quick_gelu}
    with torch.random.fork_rng(devices=[]), torch.device(device), without_warnings():
        torch.manual_seed(0)
        return open_clip.create_model(
            name if folder is None else f"{LOCAL}{folder}",
            load_weights=False,
            device=device,
            pretrained_text=False,
            force_image_size=side,
            force_context_length=options.context_length,
            **forced,
        )


def _check_image_size(config: Values, options: Options) -> None:
    """Patches cover whole images: what is left over at the right and the bottom would go unseen."""
    patch = config["vision_cfg"].get("patch_size")
    if options.image_size is not None and isinstance(patch, int) and not _is_timm(config):
        fits = options.image_size % patch == 0
        check_allowed(fits, f"model.image_size={options.image_size}", f"multiples of {patch}, the side of a patch")


def _is_timm(config: Values) -> bool:
    return "timm_model_name" in config["vision_cfg"]


def _load(network: CLIP, name: str, pretrained: str, origin: Origin, options: Options) -> None:
    state = read_weights(fetched(name, pretrained, origin))
    load_fitting(network, state, name, options.image_size is not None, options.context_length is not None)
    check_state(name, network, state, origin, options)


def _preprocess(name: str, network: CLIP, origin: Origin | None) -> Preprocess:
    """The transform that belongs to the weights; what nothing says of them is as open_clip assumes it."""
    folder = folder_of(name)
    declared = {} if folder is None else read_config(folder)[1]
    said = {} if origin is None else origin.preprocess
    config = merge_preprocess_dict(merge_preprocess_dict(PreprocessCfg(), declared), said)
    config["size"] = network.visual.image_size
    preprocess = preprocess_of(config, name if origin is None or not origin.evidence else origin.evidence)
    set_model_preprocess_cfg(network, config)
    return preprocess
