"""Templates for the datasets of a stream, searched for on their validation split: what ``fomo prompts search`` does."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fomo import rng
from fomo.config import factory
from fomo.config.plugins import Plugin, described, named
from fomo.config.schema import Config
from fomo.data.samples import Dataset
from fomo.data.validation import with_validation
from fomo.errors import FomoError, check_choice
from fomo.evaluation.grammar import grammar_of
from fomo.evaluation.template_judge import TemplateJudge
from fomo.evaluation.template_search import Failure, Propose, SearchSettings, Tried, ensemble, search
from fomo.evaluation.templates import SCHEMA, check_template
from fomo.model.clip import ClipModel
from fomo.running.contents import base_sha256
from fomo.system.determinism import deterministic
from fomo.version import __version__

GRAMMAR = "grammar"
"""Who proposes where no plug-in is named."""
POOL = 16
"""An ensemble is chosen from so many of the best templates."""


@dataclass(frozen=True)
class FoundTemplates:
    """What the search came to for a dataset.

    Args:
        dataset: its name.
        templates: those to use, together.
        num_images: of the validation split.
        right_first: images that the card's first template gets right.
        right_best: those of the best template.
        right: those of the templates found, together.
        num_tried: templates that were confirmed on all images.
        num_texts: prompts that were encoded for it.
    """

    dataset: str
    templates: Sequence[str]
    num_images: int
    right_first: int
    right_best: int
    right: int
    num_tried: int
    num_texts: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {key: value for key, value in vars(self).items() if key not in ("dataset", "templates")}


@dataclass(frozen=True)
class Sought:
    """A search that is checked and has not begun.

    Args:
        config: Says which model and how it computes; it is scored on the validation split.
        stream: The stream's name.
        datasets: Every classification dataset of the stream, by name.
        names: Those that are searched for.
        settings: How long and how widely.
        proposer: The plug-in that proposes templates; ``None``: the grammar.
    """

    config: Config
    stream: str
    datasets: Mapping[str, Dataset]
    names: Sequence[str]
    settings: SearchSettings
    proposer: Plugin | None


def sought(config: Config, given: Sequence[str], settings: SearchSettings, proposer: str) -> Sought:
    """Check what is asked for, before anything long starts.

    Args:
        config: A resolved configuration with ``evaluation=validation``.
        given: Names of datasets of the stream; none: all that are classified.
        settings: How long and how widely.
        proposer: ``grammar``, or a plug-in of the group ``fomo.prompts``.

    Raises:
        FomoError: another split; a dataset is none of the stream, is not classified, or has no validation images.
    """
    if config.evaluation.split != "validation":
        raise FomoError(
            f"evaluation.split={config.evaluation.split}: templates are searched for on the validation split alone, "
            "since test data chooses nothing. Leave it out."
        )
    plugin = _proposer(proposer)
    plan = factory.stream_plan(config)
    known = list(dict.fromkeys((*plan.adaptation, *plan.retention)))
    for name in given:
        check_choice(f"dataset of the stream '{plan.name}'", name, known)
    found = {name: with_validation(dataset) for name, dataset in plan.opened(known).items()}
    classified = {name: dataset for name, dataset in found.items() if dataset.card.kind == "classification"}
    if not classified:
        raise FomoError(f"no dataset of the stream '{plan.name}' is classified: prompts are for classes alone.")
    names = list(dict.fromkeys(given)) or list(classified)
    for name in names:
        _check(found[name])
    return Sought(config, plan.name, classified, names, settings, plugin)


def _check(dataset: Dataset) -> None:
    card = dataset.card
    if card.kind != "classification":
        raise FomoError(
            f"dataset '{card.name}' is of kind '{card.kind}': it has no classes, so that no prompt is used."
        )
    if not card.num_samples.get("validation"):
        raise FomoError(
            f"dataset '{card.name}' has no validation images, and no training images to hold some out of: leave it out "
            "(datasets=NAME,… names the others), and it keeps the first template of its card."
        )


def _proposer(name: str) -> Plugin | None:
    guests = named("prompts", [GRAMMAR])
    check_choice("value of --proposer", name, [GRAMMAR, *guests], "Packages add theirs as entry points fomo.prompts.")
    return guests.get(name)


def find(of: Sought, on_dataset: Callable[[str], None] = lambda name: None) -> Iterator[FoundTemplates]:
    """What each dataset's search comes to, in turn; ``on_dataset`` hears its name before.

    Raises:
        FomoError: the proposer fails, or proposes what is no template.
    """
    guest = None if of.proposer is None else _guest(of.proposer)
    with deterministic(of.config.runtime.deterministic):
        model = factory.model(of.config)
        for name in of.names:
            on_dataset(name)
            yield _find(model, of, name, guest or grammar_of(of.datasets[name].card))


def _find(model: ClipModel, of: Sought, name: str, propose: Propose) -> FoundTemplates:
    dataset = of.datasets[name]
    judge = TemplateJudge(model, dataset, of.config.evaluation, of.config.runtime)
    own = dataset.card.templates
    starts = [*own, *judge.usable([grammar_of(dataset.card).start])]
    tried = search(judge, starts, propose, of.settings, rng.generator("prompts", of.settings.seed, name))
    chosen = ensemble([each.template for each in tried[:POOL]], judge.together, of.settings.ensemble)
    first = next(each.num_right for each in tried if each.template == own[0])
    right = judge.together(chosen)
    counts = (len(judge.targets), first, tried[0].num_right, right, len(tried), judge.num_texts)
    return FoundTemplates(name, chosen, *counts)


def _guest(plugin: Plugin) -> Propose:
    """A plug-in's function; what it proposes is checked, and what it raises is said with its name."""
    function = plugin.load()

    def propose(
        template: str,
        failures: Sequence[Failure],
        history: Mapping[str, Tried],
        step_size: int,
        rng: np.random.Generator,
    ) -> list[str]:
        try:
            found = list(function(template, failures, history, step_size, rng))
        except Exception as error:  # whatever a plug-in's code raises
            raise FomoError(f"{plugin}: {described(error, inspect.unwrap(function))}.") from error
        for each in found:
            if not isinstance(each, str):
                raise FomoError(f"{plugin} proposed a {type(each).__name__}: templates are strings with one {{}}.")
            check_template(each, str(plugin))
        return found

    return propose


def file_of(of: Sought, found: Sequence[FoundTemplates]) -> dict[str, Any]:
    """The content of the file: templates for every classification dataset of the stream.

    One that was not searched for has the first template of its card.
    """
    templates = {name: [dataset.card.templates[0]] for name, dataset in of.datasets.items()}
    templates |= {each.dataset: list(each.templates) for each in found}
    about = {
        "stream": of.stream,
        "base_sha256": base_sha256(factory.model(of.config)),
        "split": of.config.evaluation.split,
        "proposer": GRAMMAR if of.proposer is None else f"{of.proposer.name} of {of.proposer.package}",
        "settings": asdict(of.settings),
        "fomo": __version__,
    }
    return {
        "schema": SCHEMA,
        "about": about,
        "templates": {name: templates[name] for name in sorted(templates)},
        "found": {each.dataset: each.to_json() for each in found},
    }
