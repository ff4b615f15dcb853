"""From overrides on the command line to plain values, by Hydra's groups."""

import copy
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fomo.config import plugins, several
from fomo.config.overrides import read, refuse_several, values_of
from fomo.data.sources import is_inside
from fomo.errors import FomoError, nearest, unknown
from fomo.model.names import brings_weights, open_clip_names, open_clip_option
from fomo.system.reading import read_yaml

UNLABELLED = (
    "seed",
    "run",
    "resume",
    "checkpoint",
    "keep_weights",
    "runtime",
    "stream",
    "num_tasks",
    "evaluation",
    "log",
)
"""Keys that a run's label leaves out: they belong to the leaderboard's track, or change no result."""
STUDY = "study/"
"""Experiments in this folder are sweeps; their name is no part of a label."""
FREE = ("log",)
"""Groups that a stored configuration, which may be a stranger's, does not decide: who listens to the run."""
APART = {
    "launcher": "a launcher starts the runs of a sweep: fomo run -m …",
    "tuner": "an engine proposes the trials of a search: fomo tune …",
    "space": "a space is what is searched: fomo tune …",
}
"""Groups that are no part of a run, and where each belongs."""
STORED = "stored configuration"
OPEN_CLIP = "fomo.model.pretrained_clip"
TUNED = "tuned"
"""What the file of a model says that options of other groups take; it is resolved in them, and no key of a run."""
PLUGINS = {
    **dict.fromkeys(("method", *plugins.PARTS), "methods"),
    "schedule": "schedules",
    "log": "loggers",
    "tuner": "tuners",
}
"""The kind of plug-in that is an option of a group."""
UNLESS_TUNED = re.compile(rf"\$\{{oc\.select:{TUNED}\.[\w.]+,(.+)\}}")


def config_dir() -> Path:
    """The folder of the groups: inside the installed package, or at the top of the repository."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def register_models(parsed: Sequence[Override]) -> None:
    """An open_clip model that an override names, or a place of one, becomes an option of the group ``model``."""
    store = ConfigStore.instance()
    chosen = {name for each in parsed if each.key_or_group == "model" for name in options_in(each)}
    for name in chosen.intersection(open_clip_names()).union(filter(brings_weights, chosen)):
        folder, _, last = f"model/{name}".rpartition("/")  # Hydra seeks an option with slashes in folders
        node = {"_target_": OPEN_CLIP, **open_clip_option(name)}
        store.store(group=folder, name=last, node=node, package="model")


def register_plugins(parsed: Sequence[Override]) -> None:
    """Every plug-in that an override chooses becomes an option of its group; the others are not imported.

    A method is an option of the group that its class declares, and ``method=NAME`` is full fine-tuning with it.
    """
    store = ConfigStore.instance()
    for group, name in [(each.key_or_group, name) for each in parsed for name in options_in(each)]:
        kind = PLUGINS.get(group, "")
        plugin = plugins.named(kind).get(name)
        if plugin is None or group in APART:
            continue
        found = plugin.load()
        if kind == "loggers":
            store.store(group=group, name=name, node={"_target_": plugin.target, **plugins.defaults_of(found)})
            continue
        if kind == "schedules":
            node = {"_target_": plugin.target, "_partial_": True, **plugins.defaults_of(found, skip=1)}
            store.store(group=group, name=name, node=node)
            continue
        if group not in ("method", found.group):
            raise FomoError(f"{group}={name}: the {plugin} is a {found.group}. Write {found.group}={name}.")
        store.store(group=found.group, name=name, node={"_target_": plugin.target, **plugins.defaults_of(found)})
        chosen = {"trainable": "full"} | {found.group: name}
        overrides = [{f"override /{part}": option} for part, option in chosen.items()]
        store.store(group="method", name=name, node={"defaults": overrides}, package="_global_")


def builtin_groups() -> dict[str, list[str]]:
    """The options of every group that come with the benchmark."""
    found: dict[str, list[str]] = {}
    for group, option in _options():
        found.setdefault(group, []).append(option)
    found["model"] += open_clip_names()
    return found


@cache
def _options() -> list[tuple[str, str]]:
    """Group and option of every file of the groups, which are looked for once in a process."""
    folder = config_dir()
    files = [file.relative_to(folder).with_suffix("").parts for file in sorted(folder.glob("*/**/*.yaml"))]
    return [(group, "/".join(option)) for group, *option in files]


def groups() -> dict[str, list[str]]:
    """The options of every group, plug-ins among them; a method's own group is known when it is imported.

    Raises:
        FomoError: a plug-in has the name of a built-in option.
    """
    found = builtin_groups()
    for group, kind in PLUGINS.items():
        found[group] += plugins.named(kind, found[group])
    return found


def parse(overrides: Sequence[str]) -> list[Override]:
    """Hydra's reading of the overrides; unknown options of a group are refused with the nearest one."""
    known = groups()
    parsed = [read(override, known) for override in overrides]
    for override in parsed:
        options = known.get(override.key_or_group, [])
        for value in options_in(override):
            if options and value not in options and not (options is known["model"] and brings_weights(value)):
                raise unknown(f"option of {override.key_or_group}", value, options)
    return parsed


def options_in(override: Override) -> list[str]:
    """The options of a group that an override names: one, those of a sweep, or those of a list."""
    if not override.is_sweep_override():
        return several.names_in(override) or [str(override.value())]
    values = values_of(override)
    if override.key_or_group not in several.GROUPS:
        return values
    return [name for value in values for name in options_in(read(f"{override.key_or_group}={value}", {}))]


def apart_of(override: Override) -> str | None:
    """The group of :data:`APART` that it chooses or sets something of; ``None``: it is about a run."""
    group = override.key_or_group.split(".")[0]
    return group if group in APART else None


def _refuse_apart(parsed: Sequence[Override]) -> None:
    for each in parsed:
        group = apart_of(each)
        if group:
            raise FomoError(f"'{each.input_line}': {APART[group]} {each.input_line}")


def is_study(override: Override) -> bool:
    """Whether it chooses a study: a list of runs, and nothing in any of them."""
    return override.key_or_group == "experiment" and any(name.startswith(STUDY) for name in options_in(override))


def compose(overrides: Sequence[str], file: Path | None = None) -> dict[str, Any]:
    """Plain values from the groups, or from a resolved ``config.yaml``, with ``overrides``.

    Raises:
        FomoError: an unknown group, option or key.
    """
    known = groups()
    parsed = parse(overrides) if file is None else [read(override, known) for override in overrides]
    refuse_several(parsed)
    _refuse_apart(parsed)
    given = [str(each.input_line) for each in parsed]
    if file is None:
        name = "config"
        register_models(parsed)
    else:
        _refuse_options(file, parsed, known)
        parse([str(each.input_line) for each in parsed if each.key_or_group in FREE])
        name = _register_stored(file, overrides)
    register_plugins(parsed)
    overrides = [several.registered(each) for each in parsed if not is_study(each)]
    is_known = file is None and _is_ours(parsed, known)
    try:
        values = copy.deepcopy(_known_values(tuple(overrides))) if is_known else _values(name, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise _readable(error, overrides) from None
    values["label"] = label(given, str(values.get("label", "")))
    return several.ordered(_dotted(values))


def _is_ours(parsed: Sequence[Override], known: Mapping[str, Sequence[str]]) -> bool:
    """Whether the overrides lead to the same values each time: they choose files of ours, and look up nothing."""
    chosen = {(each.key_or_group, name) for each in parsed if each.key_or_group in known for name in options_in(each)}
    return chosen <= {*_options()} and not any("${" in str(each.input_line) for each in parsed)


@lru_cache(64)
def _known_values(overrides: tuple[str, ...]) -> dict[str, Any]:
    return _values("config", overrides)


def _values(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The plain values of what Hydra composes, each option with what the model's file has for it."""
    values: dict[str, Any] = OmegaConf.to_container(_composed(name, overrides), resolve=True)  # type: ignore[assignment]
    values.pop(TUNED, None)
    return values


def untuned(value: Any) -> Any:
    """A value in the file of an option, as it is where the model's file has none for it."""
    match = UNLESS_TUNED.fullmatch(value) if isinstance(value, str) else None
    return yaml.safe_load(match[1]) if match else value


def _dotted(values: Any) -> Any:
    """The values with every target written ``MODULE.CLASS``, so that one experiment has one configuration."""
    if not isinstance(values, dict):
        return values
    spelt = {key: value.replace(":", ".") for key, value in values.items() if key == "_target_" and type(value) is str}
    return {key: _dotted(value) for key, value in values.items()} | spelt


def _refuse_options(file: Path, parsed: Sequence[Override], known: Mapping[str, Sequence[str]]) -> None:
    """A stored configuration is one option of every group, worked out: only single keys of it can be set.

    Groups in :data:`FREE` are chosen anew.
    """
    for each in parsed:
        if each.key_or_group in known and each.key_or_group not in FREE and not isinstance(each.value(), dict):
            raise FomoError(
                f"'{each.input_line}': {file} is a resolved configuration, whose groups are chosen. "
                "Set single keys, as in optimizer.lr=1e-4, or compose anew without --config."
            )


def _composed(name: str, overrides: Sequence[str]) -> DictConfig:
    """What Hydra makes of the configuration ``name`` in :func:`config_dir`; nothing in it is resolved yet."""
    running = GlobalHydra.instance().hydra  # of a program that calls us
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return hydra_compose(name, overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = running


def _register_stored(file: Path, overrides: Sequence[str]) -> str:
    """Give Hydra a resolved ``config.yaml`` under a name, as plain values: the file may be a stranger's.

    Raises:
        FomoError: it is no configuration, would have Hydra read elsewhere, or decides what the user has to.
    """
    if not file.is_file():
        raise FomoError(f"'{file}' is not there: give the config.yaml of a run folder.")
    values = read_yaml(file)
    if not isinstance(values, dict):
        raise FomoError(f"{file}: not the configuration of a run.")
    for key in ("defaults", "hydra"):
        if key in values:
            raise FomoError(f"{file}: the key '{key}' is none of a resolved configuration.")
    if "${" in json.dumps(values):
        raise FomoError(f"{file}: it holds '${{'. Nothing in a resolved configuration is to be resolved.")
    _refuse_trust(file, values, {each.lstrip("+").split("=", 1)[0] for each in overrides})
    kept = {key: value for key, value in values.items() if key not in FREE}
    ConfigStore.instance().store(name=STORED, node={"defaults": ["_self_", *({key: "none"} for key in FREE)], **kept})
    return STORED


def _refuse_trust(file: Path, values: Mapping[str, Any], given: Collection[str]) -> None:
    """What a file cannot decide for the user: whose code runs, and that files are written to any place."""
    runtime, run = (value if isinstance(value := values.get(key), dict) else {} for key in ("runtime", "run"))
    packages = runtime.get("allow_targets")
    place = run.get("dir")
    if packages and "runtime.allow_targets" not in given:
        listed = ",".join(map(str, packages)) if isinstance(packages, list) else packages
        way_out = f"If you trust it, say so: runtime.allow_targets=[{listed}]."
        raise FomoError(f"{file} would have code of '{listed}' run. {way_out}")
    if not isinstance(place, str) or not place or "run.dir" in given or is_inside(place):
        return
    if os.path.abspath(place) != os.path.abspath(file.parent):
        raise FomoError(f"{file}: its run.dir={place} is not below the folder at hand. Say where to: run.dir=DIR.")


def label(overrides: Sequence[str], replayed: str = "") -> str:
    """What a run is called in tables: its method (``replayed`` is a saved run's label) and what else was changed."""
    pairs = [override.lstrip("+").split("=", 1) for override in overrides if "=" in override]
    chosen = {key: _bare(value) for key, value in pairs if key.split(".")[0] not in UNLABELLED}
    if chosen.get("experiment", "").startswith(STUDY):
        del chosen["experiment"]
    name = chosen.pop("method", replayed or "finetune")
    return " ".join([name, *(f"{key}={value}" for key, value in chosen.items())])


def _bare(value: str) -> str:
    """A value without the quotes around it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _readable(error: Exception, overrides: Sequence[str]) -> FomoError:
    """Hydra's message in one line, with the nearest key where a key was not found."""
    text = str(error)
    there = re.search(r"An item is already at '([^']+)'", text)
    if there:
        return FomoError(f"'{there.group(1)}' is there already: write {there.group(1)}=VALUE, without '+'.")
    key = re.search(r"Could not override '([^']+)'", text)
    if key is None:
        return FomoError(text.splitlines()[0])
    known = _all_keys(overrides)
    is_part = f"{key.group(1).split('.')[0]}._target_" in known
    added = f"What the part takes and its option does not list is added: +{key.group(1)}=… . " if is_part else ""
    near = nearest(key.group(1), known)
    return FomoError(f"unknown key or group '{key.group(1)}'. {near}{added}`fomo run --show` prints every key.")


def _all_keys(overrides: Sequence[str]) -> list[str]:
    """Every key, dotted, that the configuration has with the options of groups that are chosen."""

    def walk(node: Any, prefix: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        names = [f"{prefix}{key}" for key in node]
        return names + [name for key, value in node.items() for name in walk(value, f"{prefix}{key}.")]

    known = groups()
    chosen = [each for each in overrides if each.split("=", 1)[0] in known]
    return walk(_values("config", chosen), "") + list(known)
