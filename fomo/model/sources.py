"""Where a model of open_clip comes from: what its name and the place of its weights say of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import download_pretrained, download_pretrained_from_hf
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from fomo.errors import FomoError, check_choice, unknown
from fomo.model.names import HUB, LOCAL, QUICK, brings_weights, open_clip_names
from fomo.model.preprocess import KEYS
from fomo.model.weight_files import SUFFIXES, weights_in
from fomo.system.reading import read_json
from fomo.system.text import first_line

CONFIG = "open_clip_config.json"
Values = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """What is known of weights besides their tensors.

    Args:
        path: the file; ``None`` for a tag or a repository that is not downloaded yet.
        tag: the open_clip tag that the weights are of, if any.
        model: the model configuration that was stored with them, if any.
        preprocess: the preprocessing that belongs to them; empty where nothing says it.
        quick_gelu: whether they were trained with QuickGELU; ``None`` where nothing says it.
        evidence: what says so, for errors.
    """

    path: Path | None
    tag: str = ""
    model: Values | None = None
    preprocess: Values = field(default_factory=dict)
    quick_gelu: bool | None = None
    evidence: str = ""


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence open_clip, which warns while it builds a model without weights, and a client that tries again."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def folder_of(name: str) -> Path | None:
    """The folder of a model named by a place; a configuration on the hub is downloaded. ``None`` for other names.

    Raises:
        FomoError: the folder holds no configuration of open_clip, or the hub is out of reach.
    """
    if name.startswith(HUB):
        return Path(_from_hub(name.removeprefix(HUB), CONFIG)).parent
    if not name.startswith(LOCAL):
        return None
    folder = Path(name.removeprefix(LOCAL)).expanduser()
    if not (folder / CONFIG).is_file():
        raise FomoError(f"'{name}': a folder with {CONFIG} is expected, as open_clip writes it.")
    return folder


def model_config(name: str) -> Values:
    """The open_clip configuration of a model: embed_dim, vision_cfg, text_cfg and what else it has.

    Raises:
        FomoError: the name is unknown, or its place holds no such configuration.
    """
    folder = folder_of(name)
    if folder is not None:
        return read_config(folder)[0]
    check_choice("open_clip model", name, open_clip_names(), f"Or {LOCAL}FOLDER, or {HUB}OWNER/NAME.")
    return dict(open_clip.get_model_config(name))


def read_config(folder: Path, file: str = CONFIG) -> tuple[Values, Values]:
    """The model and the preprocessing configuration that lie in a folder, in the file of that name.

    Raises:
        FomoError: the file is not of open_clip's form.
    """
    values = read_json(folder / file)
    model = values.get("model_cfg") if isinstance(values, dict) else None
    preprocess = values.get("preprocess_cfg", {}) if isinstance(values, dict) else None
    if not isinstance(model, dict) or not all(isinstance(model.get(part), dict) for part in ("vision_cfg", "text_cfg")):
        raise FomoError(f"{folder / file}: no configuration of a model (model_cfg).")
    if not isinstance(preprocess, dict):
        raise FomoError(f"{folder / file}: preprocess_cfg is no dictionary.")
    return model, preprocess


def origin_of(name: str, pretrained: str) -> Origin:
    """What is known of the weights ``pretrained`` for the model ``name``, before any of them are downloaded.

    Raises:
        FomoError: it is neither a tag of the model nor a file, nor a folder or repository with a model.
    """
    folder = folder_of(pretrained)
    if folder is not None:
        model, preprocess = read_config(folder)
        path = weights_in(folder) if pretrained.startswith(LOCAL) else None
        return Origin(path, "", model, preprocess, bool(model.get("quick_gelu")), str(folder / CONFIG))
    tags = [] if brings_weights(name) else open_clip.list_pretrained_tags_by_model(name)
    if pretrained in tags:
        about = open_clip.get_pretrained_cfg(name, pretrained)
        return Origin(None, pretrained, None, about, bool(about.get("quick_gelu")), f"the tag '{pretrained}'")
    path = Path(pretrained).expanduser()
    if path.is_dir():
        raise FomoError(
            f"model.pretrained={pretrained} is a folder: give one of its files, or {LOCAL}{pretrained} where "
            f"{CONFIG} lies in it."
        )
    if not path.is_file():
        if len(path.parts) > 1 or path.suffix in SUFFIXES:
            raise FomoError(f"model.pretrained={pretrained}: the file is not there.")
        way_out = f"Or give the path of a file, or {LOCAL}FOLDER. {_elsewhere(name, pretrained)}"
        raise unknown(f"pretrained weights of '{name}'", pretrained, tags, way_out)
    return _of_file(name, path)


def _elsewhere(name: str, tag: str) -> str:
    """The model of another activation, where the tag is one of its tags."""
    other = sibling(name)
    return f"It is a tag of model={other}." if tag in open_clip.list_pretrained_tags_by_model(other) else ""


def sibling(name: str) -> str:
    """The name of the same model with the other activation, whether or not there is one."""
    return name.removesuffix(QUICK) if name.endswith(QUICK) else f"{name}{QUICK}"


def _of_file(name: str, path: Path) -> Origin:
    """A file: what lies beside it and what its own name says."""
    if (path.parent / CONFIG).is_file():
        model, preprocess = read_config(path.parent)
        return Origin(path, "", model, preprocess, bool(model.get("quick_gelu")), str(path.parent / CONFIG))
    known = _downloaded(path)
    if known:
        evidence = "the repository that it was downloaded from"
        return Origin(path, preprocess=known, quick_gelu=bool(known.get("quick_gelu")), evidence=evidence)
    quick_named = "quickgelu" in path.name.lower().replace("-", "").replace("_", "") or None
    return Origin(path, preprocess=_agreed(name), quick_gelu=quick_named, evidence="the file's name")


def _downloaded(path: Path) -> Values:
    """What open_clip records of the weights in a file of its cache, or of the hub's; empty for other files."""
    folders = {part.removeprefix("models--").replace("--", "/") for part in path.absolute().parts}
    for model, tag in open_clip.list_pretrained():
        about: Values = open_clip.get_pretrained_cfg(model, tag)
        hashed = "-" in path.stem and about.get("url", "").endswith(f"/{path.name}")
        repository = "/".join(about.get("hf_hub", "").split("/")[:2])
        if repository in folders or (hashed and "openaipublic" not in about["url"]):
            return about
    return {}


def _agreed(name: str) -> Values:
    """The preprocessing that all published weights of a model share; empty where they differ or there are none."""
    found = _published(name)
    return found[0] if found and all(each == found[0] for each in found) else {}


def disputed(name: str) -> list[str]:
    """The keys of the preprocessing in which published weights of a model differ, so that a file may be of either."""
    found = _published(name)
    return [key for key in KEYS if any(each[key] != found[0][key] for each in found)]


def _published(name: str) -> list[Values]:
    """The preprocessing of all published weights of a model."""
    tags = [] if brings_weights(name) else open_clip.list_pretrained_tags_by_model(name)
    return [merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(name, tag)) for tag in tags]


def fetched(name: str, pretrained: str, origin: Origin) -> Path:
    """The file of the weights, downloaded where it is not at hand.

    Raises:
        FomoError: they cannot be had.
    """
    if origin.path is not None:
        return origin.path
    if not origin.tag:
        return Path(_from_hub(pretrained.removeprefix(HUB), None))
    try:
        with without_warnings():
            return Path(download_pretrained(open_clip.get_pretrained_cfg(name, origin.tag)))
    except Exception as error:  # whatever the clients of the hub and of the web raise
        raise _out_of_reach(f"the weights '{origin.tag}' of '{name}'", error) from error


def _from_hub(repository: str, filename: str | None) -> str:
    try:
        with without_warnings():
            return str(download_pretrained_from_hf(repository, filename=filename))
    except Exception as error:  # whatever the hub's client raises
        raise _out_of_reach(f"'{filename or 'the weights'}' of '{HUB}{repository}'", error) from error


def _out_of_reach(what: str, error: Exception) -> FomoError:
    return FomoError(
        f"{what} cannot be downloaded ({first_line(error)}). "
        f"Once downloaded they are kept. Without a network give model.pretrained=FILE or {LOCAL}FOLDER."
    )
