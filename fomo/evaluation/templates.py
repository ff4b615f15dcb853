"""Which prompt templates classify: the card's first one, all of the card's, or those that a file gives each dataset.

A file is what `fomo prompts search` writes, or a user: ``{"schema": "fomo.prompts/1", "templates": {DATASET: [TEMPLATE,
…]}}``. ``evaluation.templates=FILE.json`` reads it when the configuration is resolved; from then on its templates are
part of the configuration (``templates: file`` and ``prompts``), so that ``config.yaml`` needs the file no more, a run
that goes on has to have the same ones, and the leaderboard's track has their hash.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from fomo.data.card import DatasetCard
from fomo.errors import FomoError, check_keys
from fomo.system.checks import is_strings
from fomo.system.reading import read_json

SCHEMA = "fomo.prompts/1"
FIRST = "first"
ALL = "all"
FILE = "file"
TEMPLATES = (FIRST, ALL, FILE)
ENDING = ".json"
"""What tells a path from the name of a choice."""
KEYS = ("schema", "templates", "about", "found")
WAY_OUT = "`fomo prompts search` writes such a file for the datasets of a stream."
Templates: TypeAlias = str | Mapping[str, Sequence[str]]
"""``first`` or ``all`` of a card's own, or templates by dataset."""


def templates_in_use(card: DatasetCard, templates: Templates) -> Sequence[str]:
    """The templates that classify a dataset.

    Raises:
        FomoError: the templates are of a file, which has none for the dataset.
    """
    if isinstance(templates, str):
        return card.templates[:1] if templates == FIRST else card.templates
    if card.name not in templates:
        raise FomoError(f"evaluation.templates: the file has no templates for the dataset '{card.name}'. {WAY_OUT}")
    return templates[card.name]


def prompts_in_use(card: DatasetCard, templates: Templates) -> list[list[str]]:
    """One list of prompts a template in use, in the order of the classes."""
    return [card.prompts(template) for template in templates_in_use(card, templates)]


def beginnings(prompts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What each of a template's prompts begins with, by template; one that its class says itself is left out."""
    return {
        prompt: before
        for template, of in prompts.items()
        for prompt in of
        if (before := template.split("{}")[0]) and prompt.startswith(before)
    }


def check_same_datasets(templates: Templates, cards: Iterable[DatasetCard]) -> None:
    """Refuse templates of a file for a stream whose datasets to be classified are others.

    Raises:
        FomoError: a dataset has none, or there are some for what is no classification dataset of the stream.
    """
    names = [card.name for card in cards if card.kind == "classification"]
    if isinstance(templates, str):
        return
    missing = [name for name in names if name not in templates]
    strays = [name for name in templates if name not in names]
    if missing or strays:
        said = [f"it has none for {_listed(missing)}"] if missing else []
        said += [f"it has some for {_listed(strays)}"] if strays else []
        raise FomoError(
            "evaluation.templates: the file is not of this stream, whose classification datasets are "
            f"{_listed(names)}: {' and '.join(said)}. {WAY_OUT}"
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "none"


def with_file(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration's plain values; where ``evaluation.templates`` is a path, with what the file holds in its place.

    Raises:
        FomoError: the file is none, or templates are given beside it.
    """
    evaluation = values.get("evaluation")
    named = evaluation.get("templates") if isinstance(evaluation, Mapping) else None
    if not (isinstance(named, str) and named.endswith(ENDING) and isinstance(evaluation, Mapping)):
        return values
    if evaluation.get("prompts") is not None:
        raise FomoError(f"evaluation.templates={named} beside evaluation.prompts: leave one of the two out.")
    return {**values, "evaluation": {**evaluation, "templates": FILE, "prompts": read_templates(Path(named))}}


def read_templates(path: Path) -> dict[str, list[str]]:
    """The templates by dataset in a file, in the order of their names.

    Raises:
        FomoError: there is no such file, or it is no file of templates.
    """
    values = read_json(path)
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise FomoError(f"{path}: not a file of prompt templates (schema '{SCHEMA}'). {WAY_OUT}")
    check_keys(f"the prompt templates {path}", values, KEYS)
    return checked_templates(values.get("templates"), str(path))


def checked_templates(found: Any, origin: str) -> dict[str, list[str]]:
    """Templates by dataset, checked, in the order of the datasets' names.

    Args:
        found: what is to be templates by dataset.
        origin: where they come from, for errors.

    Raises:
        FomoError: something else, a dataset without templates, one twice, or one that makes no prompt.
    """
    if not isinstance(found, Mapping) or not found:
        raise FomoError(f"{origin}: templates is no object of lists by dataset, or an empty one. {WAY_OUT}")
    for name, templates in found.items():
        if not isinstance(name, str) or not is_strings(templates) or not templates:
            raise FomoError(f"{origin}: templates of '{name}': expected is a list of strings, one at least.")
        for template in templates:
            check_template(template, f"{origin}: dataset '{name}'")
        if len(set(templates)) < len(templates):
            raise FomoError(f"{origin}: dataset '{name}': a template stands twice, which would count it twice.")
    return {name: list(found[name]) for name in sorted(found)}


def check_template(template: str, origin: str) -> None:
    """Refuse what makes no prompt of a class: exactly one ``{}``, one line, no ``${``, which a configuration reads."""
    if template.count("{}") == 1 and template.isprintable() and "${" not in template:
        return
    raise FomoError(
        f"{origin}: bad prompt template {template[:80]!a}: expected is one line with exactly one {{}}, where the "
        "class's name stands, and without ${."
    )
