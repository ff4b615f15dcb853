"""What ``fomo methods NAME`` tells: of a preset, a part, a merging technique, a plug-in or a class what it takes."""

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from fomo.cli.check import find, is_target
from fomo.config.compose import builtin_groups, config_dir, untuned
from fomo.config.plugins import PARTS, check_method, defaults_of, installed
from fomo.errors import unknown
from fomo.results.measures import Metric
from fomo.system.reading import read_yaml
from fomo.system.text import printable

GROUPS = (*PARTS, "schedule", "meta_schedule", "optimizer")
TECHNIQUE = "merging.technique"
USES = {
    "merges": TECHNIQUE,
    "schedules": "schedule",
    "datasets": "stream.adaptation",
    "orderings": "stream.ordering",
    "metrics": "--metrics",
    "tuners": "tuner",
}
SETTING = re.compile(r"((?:^#[^\n]*\n)*)^(\w+):", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """A key, its default (``???``: it has to be given), and what it means."""

    key: str
    default: Any
    about: str = ""


@dataclass(frozen=True)
class About:
    """One thing that is named on the command line: how, what it does, where it comes from, what it takes."""

    use: str
    about: str
    papers: str = ""
    target: str = ""
    settings: tuple[Setting, ...] = ()
    parts: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return asdict(self)


def about(name: str) -> list[About]:
    """Everything of the ``name``, which may be ``GROUP=NAME``, and ``MODULE:CLASS`` for a class; a preset's parts too.

    Raises:
        FomoError: there is nothing of the name; a plug-in or class cannot be imported.
    """
    if is_target(name):
        return [_of_class(name)]
    wanted, _, bare = name.rpartition("=")
    found = [make() for (group, each), make in _known().items() if each == bare and wanted in ("", group)]
    if not found:
        names = {f"{group}={each}" if wanted else each for group, each in _known()}
        raise unknown("method, part or plug-in", name, names, "A class is named MODULE:CLASS.")
    made_of = [f"{group}={option}" for each in found for group, option in each.parts.items() if option != "none"]
    uses = {each.use for each in found}
    return [*found, *(_of_option(*use.split("=")) for use in dict.fromkeys(made_of) if use not in uses)]


def _known() -> dict[tuple[str, str], Callable[[], About]]:
    """What makes the page of every name, by the key that it is a value of, and the name."""
    from methods.merging.techniques import TECHNIQUES
    from methods.presets import PRESETS

    groups = builtin_groups()
    known: dict[tuple[str, str], Callable[[], About]] = {("method", name): partial(of_preset, name) for name in PRESETS}
    known |= {(group, name): partial(_of_option, group, name) for group in GROUPS for name in groups[group]}
    known |= {(TECHNIQUE, name): partial(_of_technique, name) for name in TECHNIQUES}
    return known | {(USES.get(each.kind, "method"), each.name): partial(_of_plugin, each) for each in installed()}


def of_preset(name: str) -> About:
    """A preset, and the parts that it chooses."""
    from methods.presets import PRESETS

    chosen = read_yaml(config_dir() / "method" / f"{name}.yaml")["defaults"]
    parts = {key.removeprefix("override /"): option for each in chosen for key, option in each.items()}
    return About(f"method={name}", PRESETS[name].about, "; ".join(map(str, PRESETS[name].papers)), parts=parts)


def _of_option(group: str, name: str) -> About:
    values, said = _file(group, name)
    settings = tuple(
        Setting(f"{group}.{key}", untuned(value), said.get(key, ""))
        for key, value in values.items()
        if key not in ("_target_", "_partial_")
    )
    words, papers = _row(group, name)
    words = words or said["_target_"] or _summary(values["_target_"])
    return About(f"{group}={name}", words, papers, values["_target_"], settings)


def _summary(target: str) -> str:
    from hydra.utils import get_object

    return "nothing" if target == "fomo.Method" else inspect.cleandoc(get_object(target).__doc__).splitlines()[0]


def _file(group: str, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of an option with those that it builds on, and what its file says of each key, and of its target."""
    path = config_dir() / group / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    own = read_yaml(path)
    head, *_ = re.findall(r"(?:^#[^\n]*\n)*", text, re.MULTILINE)
    said = {"_target_": _words(head)} | {key: _words(comment) for comment, key in SETTING.findall(text) if comment}
    values: dict[str, Any] = {}
    for base in own.pop("defaults", ()):
        if base != "_self_":
            inherited, told = _file(group, base)
            values |= inherited
            said = told | said
    return values | own, said


def _row(group: str, name: str) -> tuple[str, str]:
    """What the row of a built-in part says of it, and its papers; empty where it has no row."""
    from methods.diagnostics import DIAGNOSTICS
    from methods.lora import ADAPTERS
    from methods.meta_schedules import META_SCHEDULES
    from methods.regularizers import REGULARIZERS
    from methods.schedules import SCHEDULES
    from methods.trainable import TRAINED

    tables: dict[str, dict[str, Any]] = {
        "trainable": {**TRAINED, **ADAPTERS},
        "regularizer": dict(REGULARIZERS),
        "diagnostics": dict(DIAGNOSTICS),
        "schedule": dict(SCHEDULES),
        "meta_schedule": dict(META_SCHEDULES),
    }
    row = tables.get(group, {}).get(name)
    if row is None:
        return "", ""
    words = next(getattr(row, key) for key in ("trains", "adds", "measures", "formula") if hasattr(row, key))
    return words, "; ".join(map(str, row.papers))


def _of_technique(name: str) -> About:
    from methods.merging.techniques import TECHNIQUES

    row = TECHNIQUES[name]
    return About(f"{TECHNIQUE}={name}", row.formula, "; ".join(map(str, row.papers)))


def _of_plugin(plugin: Any) -> About:
    found = plugin.load()
    of_method = plugin.kind == "methods"
    key = found.group if of_method else USES[plugin.kind]
    use = f"{key}=[{plugin.name}]" if plugin.kind == "datasets" else f"{key}={plugin.name}"
    takes = {"methods": 0, "schedules": 1}  # of the others, the arguments are no settings
    settings = _settings(key, found, takes[plugin.kind]) if plugin.kind in takes else ()
    return About(use, _doc(found), target=f"{plugin.target} of {plugin.package}", settings=settings)


def _of_class(name: str) -> About:
    found = find(name)
    check_method(found, name)
    target = name.replace(":", ".")
    settings = _settings(f"+{found.group}", found, 0)
    return About(f"{found.group}._target_={target}", _doc(found), target=target, settings=settings)


def _settings(key: str, found: Any, skip: int) -> tuple[Setting, ...]:
    return tuple(Setting(f"{key}.{name}", default) for name, default in defaults_of(found, skip).items())


def _doc(found: Any) -> str:
    """What a class or function of others says of itself, its paper too; of a row that they filled in, its words."""
    if isinstance(found, Metric):
        return found.about
    if hasattr(found, "formula"):
        return "; ".join(filter(None, [found.formula, *map(str, found.papers)]))
    own = found.__doc__ if not inspect.isclass(found) or "__doc__" in vars(found) else None
    return inspect.cleandoc(own) if own else ""


def _words(comment: str) -> str:
    return " ".join(line.lstrip("# ") for line in comment.splitlines())


def _wrapped(text: str, indent: int, width: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        text, width, initial_indent=space, subsequent_indent=space, break_long_words=False, break_on_hyphens=False
    )


def lines(pages: list[About], width: int) -> Iterator[str]:
    """The pages as they are printed, in lines of ``width`` characters where words can be parted so."""
    for page in pages:
        yield page.use
        told = [*page.about.splitlines(), page.papers, page.target]
        made_of = ", ".join(f"{group}={option}" for group, option in page.parts.items())
        for line in [*told, f"made of {made_of}" if made_of else ""]:
            yield from _wrapped(printable(line), 2, width)
        for setting in page.settings:
            default = json.dumps(setting.default, ensure_ascii=False, default=str)
            given = "… (has to be given)" if setting.default == "???" else default.strip('"')
            line = f"    {setting.key}={given}" + (f"    {setting.about}" if setting.about else "")
            if len(line) <= width:
                yield line
            else:
                yield f"    {setting.key}={given}"
                yield from _wrapped(setting.about or "", 8, width)
        yield ""
